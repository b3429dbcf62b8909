// The few types and macros of Unreal that the plugin uses, so that it can be compiled and driven without Unreal. They
// follow the engine's documentation, and precede every source, as Unreal's precompiled headers do.

#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

using TCHAR = wchar_t;
using int32 = std::int32_t;

#define TEXT(text) L##text
#define PI (3.1415926535897932f)
#define check(condition) { if (!(condition)) std::abort(); }
#define checkf(condition, ...) check(condition)
#define verify(condition) check(condition)
#define ensure(condition) (condition)
#define UE_BUILD_DEBUG 0
#define UE_BUILD_DEVELOPMENT 1
#define UE_BUILD_TEST 0
#define UE_BUILD_SHIPPING 0
#define PLATFORM_WINDOWS 0
#define dynamic_cast Unreal_has_a_cast_of_its_own
#define THIRD_PARTY_INCLUDES_START
#define THIRD_PARTY_INCLUDES_END
#define RLAY_API
#define UCLASS(...)
#define UPROPERTY(...)
#define IMPLEMENT_MODULE(Class, Name) Class Name##Module;

// What Unreal's header tool defines of a class: build.sh writes CURRENT_FILE_ID and the macros into *.generated.h.
#define BODY_MACRO_COMBINE_INNER(a, b, c, d) a##b##c##d
#define BODY_MACRO_COMBINE(a, b, c, d) BODY_MACRO_COMBINE_INNER(a, b, c, d)
#define GENERATED_BODY(...) BODY_MACRO_COMBINE(CURRENT_FILE_ID, _, __LINE__, _GENERATED_BODY)

class FDefaultModuleImpl {};

// Texts

namespace Stubs
{
inline std::wstring Wide(const char* Text) { return std::wstring(Text, Text + std::char_traits<char>::length(Text)); }
inline std::string Narrow(const TCHAR* Text)
{
	std::string Narrowed;
	for (; *Text != 0; ++Text) Narrowed += static_cast<char>(*Text);
	return Narrowed;
}
} // namespace Stubs

class FString
{
public:
	FString() = default;
	FString(const TCHAR* Text) : Content(Text) {}
	const TCHAR* operator*() const { return Content.c_str(); }
	bool IsEmpty() const { return Content.empty(); }

private:
	std::wstring Content;
};

#define UTF8_TO_TCHAR(text) (Stubs::Wide(text).c_str())
#define TCHAR_TO_UTF8(text) (Stubs::Narrow(text).c_str())

// The log

struct FStubLogCategory
{
	const char* Name;
};

#define DECLARE_LOG_CATEGORY_EXTERN(Category, Default, Compiled) extern const FStubLogCategory Category
#define DEFINE_LOG_CATEGORY(Category) const FStubLogCategory Category{#Category}
#define UE_LOG(Category, Verbosity, Format, ...) Stubs::Print(Category, #Verbosity, Format, ##__VA_ARGS__)

namespace Stubs
{
/** Prints a line; "%s" is a text of TCHARs here. */
inline void Print(const FStubLogCategory& Category, const char* Verbosity, const TCHAR* Format, ...)
{
	std::wstring Wanted = Format;
	for (std::size_t At = 0; (At = Wanted.find(L"%s", At)) != std::wstring::npos; At += 3) Wanted.replace(At, 2, L"%ls");
	TCHAR Line[1024];
	std::va_list Arguments;
	va_start(Arguments, Format);
	std::vswprintf(Line, 1024, Wanted.c_str(), Arguments);
	va_end(Arguments);
	std::printf("%s: %s: %s\n", Category.Name, Verbosity, Narrow(Line).c_str());
	std::fflush(stdout);
}
} // namespace Stubs

// Pointers, numbers and the application

template <class T>
class TSharedPtr
{
public:
	TSharedPtr() = default;
	TSharedPtr(std::shared_ptr<T> Owned) : Pointer(std::move(Owned)) {}
	bool IsValid() const { return Pointer != nullptr; }
	void Reset() { Pointer.reset(); }
	T* operator->() const { return Pointer.get(); }

private:
	std::shared_ptr<T> Pointer;
};

template <class T, class... Arguments>
TSharedPtr<T> MakeShared(Arguments&&... Given)
{
	return std::make_shared<T>(std::forward<Arguments>(Given)...);
}

struct FMath
{
	static float Clamp(float X, float Low, float High) { return X < Low ? Low : X > High ? High : X; }
	static int32 Max(int32 A, int32 B) { return A > B ? A : B; }
	static float Abs(float X) { return std::fabs(X); }
	static bool IsFinite(float X) { return std::isfinite(X); }
};

struct FVector
{
	double X, Y, Z;
	FVector(double InX, double InY, double InZ) : X(InX), Y(InY), Z(InZ) {}
	FVector operator+(const FVector& V) const { return FVector(X + V.X, Y + V.Y, Z + V.Z); }
};

class FRandomStream
{
public:
	void Initialize(int32 Seed) { Generator.seed(static_cast<unsigned>(Seed)); }
	float FRandRange(float Low, float High) { return std::uniform_real_distribution<float>(Low, High)(Generator); }

private:
	std::minstd_rand Generator;
};

class FApp
{
public:
	static bool UseFixedTimeStep() { return bIsFixed; }
	static void SetUseFixedTimeStep(bool bFixed) { bIsFixed = bFixed; }
	static double GetFixedDeltaTime() { return FixedDeltaTime; }
	static void SetFixedDeltaTime(double Seconds) { FixedDeltaTime = Seconds; }

private:
	static inline bool bIsFixed = false;
	static inline double FixedDeltaTime = 1.0 / 30;
};

struct FPlatformMisc
{
	static FString GetEnvironmentVariable(const TCHAR* Name)
	{
		const char* Value = std::getenv(Stubs::Narrow(Name).c_str());
		return Value == nullptr ? FString() : FString(Stubs::Wide(Value).c_str());
	}
};

// Actors and components

enum ELevelTick { LEVELTICK_All };
enum ETickingGroup { TG_PrePhysics, TG_DuringPhysics };
namespace EEndPlayReason
{
enum Type { Destroyed, Quit };
}
struct FActorComponentTickFunction
{
	bool bCanEverTick = false;
	ETickingGroup TickGroup = TG_DuringPhysics;
};

class AActor;

class UActorComponent
{
public:
	UActorComponent() = default;
	virtual ~UActorComponent() = default;
	AActor* GetOwner() const { return Owner; }
	virtual void BeginPlay() {}
	virtual void EndPlay(const EEndPlayReason::Type) {}
	virtual void TickComponent(float, ELevelTick, FActorComponentTickFunction*) {}

	FActorComponentTickFunction PrimaryComponentTick;
	AActor* Owner = nullptr;
};

class UStaticMesh {};

class USceneComponent : public UActorComponent {};

class UStaticMeshComponent : public USceneComponent
{
public:
	bool SetStaticMesh(UStaticMesh*) { return true; }
};

class AActor
{
public:
	virtual ~AActor() = default;
	FVector GetActorLocation() const { return Location; }
	bool SetActorLocation(const FVector& To)
	{
		Location = To;
		return true;
	}
	template <class T>
	T* CreateDefaultSubobject(const TCHAR*)
	{
		auto Made = std::make_unique<T>();
		T* Component = Made.get();
		Component->Owner = this;
		Components.push_back(std::move(Made));
		return Component;
	}

	std::vector<std::unique_ptr<UActorComponent>> Components;

protected:
	USceneComponent* RootComponent = nullptr;

private:
	FVector Location = FVector(0, 0, 0);
};

namespace ConstructorHelpers
{
template <class T>
struct FObjectFinder
{
	explicit FObjectFinder(const TCHAR*) {}
	T* Object = nullptr;
};
} // namespace ConstructorHelpers
