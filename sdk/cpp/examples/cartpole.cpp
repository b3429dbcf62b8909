// Hosts CartPole with the rules of Gymnasium's CartPole-v1: a pole on a cart that is pushed left or right.
//
//   cartpole --listen tcp://127.0.0.1:5005                waits for agents: rlay.ClientEnv("tcp://127.0.0.1:5005")
//   cartpole --dial tcp://127.0.0.1:5005 [--sessions N]   dials an agent: rlay.ServerEnv("tcp://127.0.0.1:5005")
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <random>

#include "rlay/rlay.hpp"

namespace {

constexpr double gravity = 9.8;
constexpr double pole_mass = 0.1;
constexpr double total_mass = 1.0 + pole_mass;
constexpr double half_length = 0.5;
constexpr double force = 10.0;
constexpr double seconds_per_step = 0.02;
constexpr double widest_angle = 12 * 2 * 3.14159265358979323846 / 360;
constexpr double widest_place = 2.4;
constexpr int longest_episode = 500;

class CartPole : public rlay::Env {
 public:
  rlay::Space observation_space() const override {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> high{static_cast<float>(2 * widest_place), infinity,
                                  static_cast<float>(2 * widest_angle), infinity};
    std::vector<float> low;
    for (const float bound : high) low.push_back(-bound);
    return rlay::spaces::Box::of<float>(low, high, {4});
  }
  rlay::Space action_space() const override { return rlay::spaces::Discrete(2); }
  rlay::Dict metadata() const override { return {{"render_modes", rlay::List{{"ansi"}}}, {"render_fps", 50}}; }
  rlay::Dict details() const override { return {{"reward_threshold", 475.0}, {"max_episode_steps", longest_episode}}; }

  rlay::Expected<rlay::ResetResult> reset(const std::optional<rlay::Seed>& seed, const rlay::Value&) override {
    if (seed) random_.seed(seed->low64());
    std::uniform_real_distribution<double> near_the_middle(-0.05, 0.05);
    for (double* number : {&x_, &speed_, &angle_, &turning_}) *number = near_the_middle(random_);
    steps_ = 0;
    has_fallen_ = false;
    return rlay::ResetResult{observation()};
  }

  rlay::Expected<rlay::StepResult> step(const rlay::Value& action) override {
    const auto push = action.to_int();
    if (push != 0 && push != 1) return rlay::env_error("ValueError", "an action is 0 or 1");
    const double cosine = std::cos(angle_);
    const double sine = std::sin(angle_);
    const double pushed =
        ((push == 1 ? force : -force) + pole_mass * half_length * turning_ * turning_ * sine) / total_mass;
    const double turn = (gravity * sine - cosine * pushed) /
                        (half_length * (4.0 / 3.0 - pole_mass * cosine * cosine / total_mass));
    const double acceleration = pushed - pole_mass * half_length * turn * cosine / total_mass;
    x_ += seconds_per_step * speed_;
    speed_ += seconds_per_step * acceleration;
    angle_ += seconds_per_step * turning_;
    turning_ += seconds_per_step * turn;
    ++steps_;
    const double reward = has_fallen_ ? 0.0 : 1.0;
    has_fallen_ = has_fallen_ || std::fabs(x_) > widest_place || std::fabs(angle_) > widest_angle;
    return rlay::StepResult{observation(), reward, has_fallen_, steps_ >= longest_episode};
  }

  rlay::Expected<rlay::Value> render() override {
    const auto column = static_cast<std::size_t>(20 + std::fmin(std::fmax(x_, -widest_place), widest_place) * 8);
    const char* pole = angle_ > 0.03 ? "/" : angle_ < -0.03 ? "\\" : "|";
    const std::string track = std::string(column, '_') + "H" + std::string(40 - column, '_');
    return rlay::Value(std::string(column, ' ') + pole + "\n" + track);
  }

 private:
  rlay::Value observation() const {
    return rlay::NdArray::of<float>({static_cast<float>(x_), static_cast<float>(speed_), static_cast<float>(angle_),
                                     static_cast<float>(turning_)});
  }

  std::mt19937_64 random_{std::random_device{}()};
  double x_ = 0;
  double speed_ = 0;
  double angle_ = 0;
  double turning_ = 0;
  int steps_ = 0;
  bool has_fallen_ = false;
};

rlay::Backend* running = nullptr;

int run(rlay::Backend& backend) {
  running = &backend;
  // Ctrl-C says goodbye to the agents.
  std::signal(SIGINT, [](int) { running->close(); });
  const rlay::Error error = backend.run();
  if (error) std::cerr << error.message << "\n";
  return error ? 1 : 0;
}

}  // namespace

int main(int count, char** arguments) {
  const auto make = [](const rlay::Make&) { return std::make_unique<CartPole>(); };
  const std::string how = count > 2 ? arguments[1] : "";
  rlay::Options options;
  if (count > 4) options.max_sessions = std::strtoul(arguments[4], nullptr, 10);
  if (how == "--dial") {
    rlay::ClientBackend backend(make, arguments[2], options);
    return run(backend);
  }
  if (how == "--listen") {
    rlay::ServerBackend backend(make, arguments[2], options);
    if (!backend.error()) std::cout << "listening at " << backend.address() << std::endl;
    return run(backend);
  }
  std::cerr << "usage: cartpole --dial ADDRESS | --listen ADDRESS [--sessions N]\n";
  return 2;
}
