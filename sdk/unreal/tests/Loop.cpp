// Does what Unreal would do with the sample: begins play, and ticks the component of the actor again and again. Without
// the argument "listen" it dials RLAY_ADDRESS. It ends when its standard input does.

#include "RlaySlider.h"

#include <atomic>
#include <cstring>

int main(int Count, char** Arguments)
{
	ARlaySlider Slider;
	URlaySliderComponent& Environment = *Slider.Environment;
	check(Environment.PrimaryComponentTick.bCanEverTick);
	if (Count > 1 && std::strcmp(Arguments[1], "listen") == 0)
	{
		Environment.bListens = true;
		Environment.Address = TEXT("tcp://127.0.0.1:0");
	}
	std::atomic<bool> bIsOver{false};
	std::thread Input([&bIsOver] {
		while (std::getchar() != EOF) {}
		bIsOver = true;
	});
	for (const auto& Component : Slider.Components) Component->BeginPlay();
	bool bWasFixed = false;
	while (!bIsOver)
	{
		const bool bIsFixed = FApp::UseFixedTimeStep();
		const double Seconds = bIsFixed ? FApp::GetFixedDeltaTime() : 0.001;
		if (bIsFixed != bWasFixed) std::printf("ticks of %.5f s\n", Seconds);
		std::fflush(stdout);
		bWasFixed = bIsFixed;
		// With a fixed time step Unreal, too, ticks as often as it can.
		if (!bIsFixed) std::this_thread::sleep_for(std::chrono::milliseconds(1));
		for (const auto& Component : Slider.Components)
		{
			Component->TickComponent(static_cast<float>(Seconds), LEVELTICK_All, &Component->PrimaryComponentTick);
		}
	}
	for (const auto& Component : Slider.Components) Component->EndPlay(EEndPlayReason::Quit);
	Input.join();
	std::printf("the ball is at %.2f\n", Slider.GetActorLocation().X);
	return 0;
}
