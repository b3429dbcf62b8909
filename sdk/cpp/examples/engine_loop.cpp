// Asks for its turn once a frame, as an engine with a loop of its own does: engine_loop [ADDRESS]
//
// The loop never waits for the agent. Start an agent that listens, rlay.ServerEnv("tcp://127.0.0.1:5005"), before or
// after.
#include <chrono>
#include <cmath>
#include <iostream>
#include <thread>

#include "rlay/rlay.hpp"

namespace {

constexpr float frame_time = 1.0F / 60;

/// The world: a balloon that sinks unless it is heated.
struct Balloon {
  float height = 10;
  float speed = 0;

  void advance(bool is_heated) {
    speed += (is_heated ? 1.0F : -1.0F) * frame_time;
    height += speed * frame_time;
  }
  rlay::Value seen() const { return rlay::NdArray::of<float>({height, speed}); }
};

}  // namespace

int main(int count, char** arguments) {
  const rlay::Spec spec{rlay::spaces::Box::unbounded<float>({2}), rlay::spaces::Discrete(2), {}, {}};
  rlay::ClientBackend agent(spec, count > 1 ? arguments[1] : "tcp://127.0.0.1:5005");
  Balloon balloon;
  auto next_frame = std::chrono::steady_clock::now();
  for (; !agent.error(); next_frame += std::chrono::milliseconds(16)) {
    const std::optional<rlay::Turn> turn = agent.poll();
    const bool is_step = turn && turn->kind == rlay::Turn::Kind::step;
    balloon.advance(is_step && turn->action.to_int() == 1);
    if (is_step) {
      turn->reply(rlay::StepResult{balloon.seen(), -std::abs(balloon.height - 10), balloon.height <= 0});
    } else if (turn && turn->kind == rlay::Turn::Kind::reset) {
      balloon = Balloon();
      turn->reply(rlay::ResetResult{balloon.seen()});
    } else if (turn && turn->kind == rlay::Turn::Kind::close) {
      std::cout << "the agent has left" << std::endl;
    }
    // Here an engine draws.
    std::this_thread::sleep_until(next_frame);
  }
  std::cerr << agent.error().message << "\n";
  return 1;
}
