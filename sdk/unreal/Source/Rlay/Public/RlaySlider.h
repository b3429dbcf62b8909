// Holds a sample: a ball that an agent pushes along the x axis until it rests where it was put.

#pragma once

#include "CoreMinimal.h"
#include "GameFramework/Actor.h"
#include "RlayEnvironmentComponent.h"

#include "RlaySlider.generated.h"

/** The environment: pushes the actor that it belongs to. */
UCLASS()
class RLAY_API URlaySliderComponent : public URlayEnvironmentComponent
{
	GENERATED_BODY()

protected:
	virtual rlay::Spec Describe() override;
	virtual rlay::Expected<rlay::ResetResult> Reset(
		const std::optional<rlay::Seed>& Seed, const rlay::Value& Options) override;
	virtual rlay::Error Act(const rlay::Value& Action, float DeltaTime) override;
	virtual rlay::Expected<rlay::StepResult> Observe() override;
	virtual rlay::Expected<rlay::Value> Render() override;

private:
	rlay::NdArray State() const;
	void MoveTo(float NewX);

	FVector Middle = FVector(0, 0, 0);
	bool bKnowsMiddle = false;
	FRandomStream Random;
	float X = 0;
	float Speed = 0;
	int32 Steps = 0;
};

/** The ball: drag it into a level. */
UCLASS()
class RLAY_API ARlaySlider : public AActor
{
	GENERATED_BODY()

public:
	ARlaySlider();

	UPROPERTY(VisibleAnywhere, Category = "RLay")
	URlaySliderComponent* Environment;
};
