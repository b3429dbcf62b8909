// Polls the agent once a tick, and carries out what it asks for.

#include "RlayEnvironmentComponent.h"

#include "HAL/PlatformMisc.h"
#include "Misc/App.h"
#include "RlayConnection.h"

DEFINE_LOG_CATEGORY(LogRlay);

namespace
{
FString ToFString(const std::string& Text)
{
	return FString(UTF8_TO_TCHAR(Text.c_str()));
}

/** Answers with what a function of the environment has returned, and logs what went wrong. */
template <class T>
void Answer(const rlay::Turn& Turn, rlay::Expected<T> Result)
{
	rlay::Error Failure;
	if (Result)
	{
		Failure = Turn.reply(std::move(*Result));
	}
	else
	{
		Failure = Result.error();
		Turn.fail(std::move(Result.error()));
	}
	if (Failure)
	{
		UE_LOG(LogRlay, Warning, TEXT("%s"), *ToFString(Failure.message));
	}
}

rlay::Error NotOverridden(const char* Function)
{
	return rlay::env_error("NotImplementedError", std::string("the environment does not override ") + Function);
}
} // namespace

URlayEnvironmentComponent::URlayEnvironmentComponent()
{
	PrimaryComponentTick.bCanEverTick = true;
	// Actions precede the physics on which they have an effect.
	PrimaryComponentTick.TickGroup = TG_PrePhysics;
}

void URlayEnvironmentComponent::BeginPlay()
{
	Super::BeginPlay();
	const FString Launched = FPlatformMisc::GetEnvironmentVariable(TEXT("RLAY_ADDRESS"));
	const FString& Place = Launched.IsEmpty() ? Address : Launched;
	// An agent that has launched this game listens there.
	const bool bWillListen = bListens && Launched.IsEmpty();
	rlay::Options Options;
	Options.name = "rlay-unreal 0.1.0";
	Options.log = [](const std::string& Line) { UE_LOG(LogRlay, Log, TEXT("%s"), *ToFString(Line)); };
	Connection = MakeShared<FRlayConnection>(Describe(), std::string(TCHAR_TO_UTF8(*Place)), bWillListen, Options);
	UE_LOG(LogRlay, Log, TEXT("%s %s"), bWillListen ? TEXT("listening at") : TEXT("dialing"),
		*ToFString(Connection->GetAddress()));
}

void URlayEnvironmentComponent::EndPlay(const EEndPlayReason::Type EndPlayReason)
{
	SetPlaying(false);
	Turn.reset();
	Connection.Reset();
	Super::EndPlay(EndPlayReason);
}

void URlayEnvironmentComponent::TickComponent(
	float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction)
{
	Super::TickComponent(DeltaTime, TickType, ThisTickFunction);
	bHasJustBegun = false;
	if (Turn && TicksLeft == 0)
	{
		Answer(*Turn, Observe());
		Turn.reset();
	}
	// The tick in which an agent begins to play still has the length that it would have without one.
	if ((!Turn && !FindTurn()) || bHasJustBegun)
	{
		return;
	}
	--TicksLeft;
	if (rlay::Error Failure = Act(Turn->action, DeltaTime))
	{
		Answer<rlay::StepResult>(*Turn, std::move(Failure));
		Turn.reset();
	}
}

/** Answers what takes no time, until the agent asks for a step; false if it does not. */
bool URlayEnvironmentComponent::FindTurn()
{
	while (Connection.IsValid())
	{
		Turn = Connection->Poll(bPlaying ? WaitMilliseconds / 1000.0 : 0.0);
		if (!Turn)
		{
			if (const rlay::Error Failure = Connection->GetError())
			{
				// The agent has refused this game for good, as over a wrong token, or the address cannot be used.
				UE_LOG(LogRlay, Error, TEXT("%s"), *ToFString(Failure.message));
				SetPlaying(false);
				Connection.Reset();
			}
			return false;
		}
		SetPlaying(Turn->kind != rlay::Turn::Kind::close);
		switch (Turn->kind)
		{
		case rlay::Turn::Kind::step:
			TicksLeft = FMath::Max(TicksPerStep, 1);
			return true;
		case rlay::Turn::Kind::reset:
			Answer(*Turn, Reset(Turn->seed, Turn->options));
			break;
		case rlay::Turn::Kind::render:
			Answer(*Turn, Render());
			break;
		default:
			AgentLeft();
		}
		Turn.reset();
	}
	return false;
}

void URlayEnvironmentComponent::SetPlaying(bool bPlays)
{
	if (bPlays == bPlaying || TimeStep <= 0)
	{
		bPlaying = bPlays;
		return;
	}
	bPlaying = bPlays;
	if (bPlays)
	{
		bHadFixedTimeStep = FApp::UseFixedTimeStep();
		FixedTimeStep = FApp::GetFixedDeltaTime();
		bHasJustBegun = true;
	}
	FApp::SetFixedDeltaTime(bPlays ? TimeStep : FixedTimeStep);
	FApp::SetUseFixedTimeStep(bPlays || bHadFixedTimeStep);
}

rlay::Spec URlayEnvironmentComponent::Describe()
{
	return {rlay::spaces::Discrete(1), rlay::spaces::Discrete(1), {}, {}};
}

rlay::Expected<rlay::ResetResult> URlayEnvironmentComponent::Reset(const std::optional<rlay::Seed>&, const rlay::Value&)
{
	return NotOverridden("Reset");
}

rlay::Error URlayEnvironmentComponent::Act(const rlay::Value&, float)
{
	return NotOverridden("Act");
}

rlay::Expected<rlay::StepResult> URlayEnvironmentComponent::Observe()
{
	return NotOverridden("Observe");
}

rlay::Expected<rlay::Value> URlayEnvironmentComponent::Render()
{
	return NotOverridden("Render");
}

void URlayEnvironmentComponent::AgentLeft()
{
}
