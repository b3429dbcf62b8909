// The sample's rules: a push accelerates the ball, and a step earns the more the nearer it is to the middle.

#include "RlaySlider.h"

#include "Components/StaticMeshComponent.h"
#include "UObject/ConstructorHelpers.h"

namespace
{
constexpr float Metre = 100;
constexpr float Strength = 4;
constexpr float Edge = 5;
constexpr int32 MostSteps = 100;
} // namespace

rlay::Spec URlaySliderComponent::Describe()
{
	return {
		rlay::spaces::Box::unbounded<float>({2}),
		rlay::spaces::Box::of<float>(-1, 1, {1}),
		{{"render_modes", rlay::List{{"ansi"}}}},
		{},
	};
}

rlay::Expected<rlay::ResetResult> URlaySliderComponent::Reset(
	const std::optional<rlay::Seed>& Seed, const rlay::Value&)
{
	if (Seed)
	{
		Random.Initialize(static_cast<int32>(Seed->low64()));
	}
	Speed = 0;
	Steps = 0;
	MoveTo(Random.FRandRange(-2.0f, 2.0f));
	return rlay::ResetResult{State()};
}

rlay::Error URlaySliderComponent::Act(const rlay::Value& Action, float DeltaTime)
{
	const rlay::NdArray* Push = Action.as<rlay::NdArray>();
	if (Push == nullptr || Push->size() != 1 || !FMath::IsFinite(Push->get<float>(0)))
	{
		return rlay::env_error("ValueError", "a push is an array of one number");
	}
	Speed += FMath::Clamp(Push->get<float>(0), -1.0f, 1.0f) * Strength * DeltaTime;
	MoveTo(X + Speed * DeltaTime);
	return {};
}

rlay::Expected<rlay::StepResult> URlaySliderComponent::Observe()
{
	++Steps;
	const float Distance = X / Edge;
	return rlay::StepResult{State(), 1 - Distance * Distance, FMath::Abs(X) > Edge, Steps >= MostSteps};
}

rlay::Expected<rlay::Value> URlaySliderComponent::Render()
{
	return rlay::Value("x=" + std::to_string(X));
}

rlay::NdArray URlaySliderComponent::State() const
{
	return rlay::NdArray::of<float>({X, Speed});
}

void URlaySliderComponent::MoveTo(float NewX)
{
	if (!bKnowsMiddle)
	{
		Middle = GetOwner()->GetActorLocation();
		bKnowsMiddle = true;
	}
	X = NewX;
	GetOwner()->SetActorLocation(Middle + FVector(X * Metre, 0, 0));
}

ARlaySlider::ARlaySlider()
{
	UStaticMeshComponent* Ball = CreateDefaultSubobject<UStaticMeshComponent>(TEXT("Ball"));
	static ConstructorHelpers::FObjectFinder<UStaticMesh> Sphere(TEXT("/Engine/BasicShapes/Sphere.Sphere"));
	Ball->SetStaticMesh(Sphere.Object);
	RootComponent = Ball;
	Environment = CreateDefaultSubobject<URlaySliderComponent>(TEXT("Environment"));
	Environment->TicksPerStep = 3;
}
