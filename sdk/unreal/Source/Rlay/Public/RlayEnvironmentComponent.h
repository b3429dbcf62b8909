// Holds the component that makes a level an environment.

#pragma once

#include "CoreMinimal.h"
#include "Components/ActorComponent.h"

THIRD_PARTY_INCLUDES_START
#include "rlay/codec.hpp"
THIRD_PARTY_INCLUDES_END

#include "RlayEnvironmentComponent.generated.h"

DECLARE_LOG_CATEGORY_EXTERN(LogRlay, Log, All);

class FRlayConnection;

/**
 * A level as an environment. Derive from it, say what the spaces are and what a step does, and give the component to
 * one actor of the level; RlaySlider.h is an example.
 *
 * An action lasts TicksPerStep ticks, each of them TimeStep long, however fast the computer is. While an agent plays,
 * nothing but its steps should move the level: put what happens into Act, or into code that ticks.
 *
 * What is overridden returns a result or an error, such as rlay::env_error("ValueError", "not a push"), which the
 * agent's call raises.
 */
UCLASS(Abstract, ClassGroup = (RLay))
class RLAY_API URlayEnvironmentComponent : public UActorComponent
{
	GENERATED_BODY()

public:
	URlayEnvironmentComponent();

	/** Where the agent listens, or where to listen. The environment variable RLAY_ADDRESS takes its place. */
	UPROPERTY(EditAnywhere, Category = "RLay")
	FString Address = TEXT("tcp://127.0.0.1:5005");

	/** Whether agents dial this game (rlay.ClientEnv), or this game dials an agent (rlay.ServerEnv). */
	UPROPERTY(EditAnywhere, Category = "RLay")
	bool bListens = false;

	/** How many ticks an action lasts. */
	UPROPERTY(EditAnywhere, Category = "RLay", meta = (ClampMin = "1"))
	int32 TicksPerStep = 1;

	/** How long a tick is while an agent plays, in seconds of the game. 0: as long as it took, for people to watch. */
	UPROPERTY(EditAnywhere, Category = "RLay", meta = (ClampMin = "0"))
	float TimeStep = 1.0f / 60.0f;

	/** How long a tick waits for the action of the agent that plays. 0: never, the game goes on without actions. */
	UPROPERTY(EditAnywhere, Category = "RLay", meta = (ClampMin = "0"))
	int32 WaitMilliseconds = 100;

	virtual void BeginPlay() override;
	virtual void EndPlay(const EEndPlayReason::Type EndPlayReason) override;
	virtual void TickComponent(
		float DeltaTime, ELevelTick TickType, FActorComponentTickFunction* ThisTickFunction) override;

protected:
	/** The spaces, and metadata with the render modes, if there are any. */
	virtual rlay::Spec Describe();

	/** Puts everything where an episode begins. Without a seed the random numbers go on. Options are a Dict or None. */
	virtual rlay::Expected<rlay::ResetResult> Reset(const std::optional<rlay::Seed>& Seed, const rlay::Value& Options);

	/** Applies the action, before each tick that it lasts. An agent may send anything: check it. */
	virtual rlay::Error Act(const rlay::Value& Action, float DeltaTime);

	/** Says what has come of the action, after its last tick. */
	virtual rlay::Expected<rlay::StepResult> Observe();

	/** Draws: for rgb_array an NdArray of uint8, (height, width, 3), for ansi a text. */
	virtual rlay::Expected<rlay::Value> Render();

	/** The agent has left. Another one may come. */
	virtual void AgentLeft();

private:
	bool FindTurn();
	void SetPlaying(bool bPlays);

	TSharedPtr<FRlayConnection> Connection;
	std::optional<rlay::Turn> Turn;
	int32 TicksLeft = 0;
	bool bPlaying = false;
	bool bHasJustBegun = false;
	bool bHadFixedTimeStep = false;
	double FixedTimeStep = 0;
};
