// Hosts the game that every client plays: see sdk/tests/GAME.md.
#include <chrono>
#include <cmath>
#include <iostream>
#include <stdexcept>
#include <thread>

#include "rlay/rlay.hpp"

namespace {

namespace spaces = rlay::spaces;
using rlay::NdArray;
using rlay::Value;

/// PCG32.
class Generator {
 public:
  Generator() { seed(0); }
  void seed(std::uint64_t with) {
    state_ = 0;
    next();
    state_ += with;
    next();
  }
  std::uint32_t next() {
    const std::uint64_t old = state_;
    state_ = old * 6364136223846793005ULL + 109;
    const auto x = static_cast<std::uint32_t>(((old >> 18) ^ old) >> 27);
    const auto r = static_cast<unsigned>(old >> 59);
    return x >> r | x << ((32 - r) & 31);
  }

 private:
  std::uint64_t state_ = 0;
};

rlay::Dict reset_info(const std::optional<rlay::Seed>& seed, const Value& options) {
  return {{"seeded", seed.has_value()}, {"options", options}};
}

class Drift : public rlay::Env {
 public:
  explicit Drift(std::string render_mode) : render_mode_(std::move(render_mode)) {}

  rlay::Space observation_space() const override {
    return spaces::Dict{{"board", spaces::Box::of<std::uint8_t>(0, 255, {8, 8})},
                        {"dials", spaces::MultiDiscrete({3, 5})},
                        {"fuel", spaces::Discrete(32)},
                        {"lights", spaces::MultiBinary(4)},
                        {"position", spaces::Box::unbounded<double>({2})}};
  }
  rlay::Space action_space() const override { return spaces::Discrete(3); }
  rlay::Dict metadata() const override {
    return {{"render_modes", rlay::List{{"rgb_array", "ansi"}}}, {"render_fps", 25}};
  }
  rlay::Dict details() const override {
    return {{"reward_threshold", 60.0}, {"nondeterministic", false}, {"max_episode_steps", 100}};
  }

  rlay::Expected<rlay::ResetResult> reset(const std::optional<rlay::Seed>& seed, const Value& options) override {
    if (seed) random_.seed(seed->low64());
    t_ = 0;
    x_ = random_.next() / 2147483648.0 - 1;
    v_ = 0;
    fuel_ = 20 + random_.next() % 12;
    for (std::size_t i = 0; i < 64; ++i) set_cell(i);
    turn_lamps();
    const auto* named = options.as<rlay::Dict>();
    const Value* seconds = named ? named->find("sleep") : nullptr;
    if (seconds) std::this_thread::sleep_for(std::chrono::duration<double>(seconds->to_double().value_or(0)));
    return rlay::ResetResult{observation(), reset_info(seed, options)};
  }

  rlay::Expected<rlay::StepResult> step(const Value& action) override {
    const std::optional<std::int64_t> a = action.to_int();
    if (!a || *a < 0 || *a > 2) {
      return rlay::env_error("ValueError", "an action from 0 to 2, not " + (a ? std::to_string(*a) : "what it is"));
    }
    t_ += 1;
    v_ = v_ * 0.9375 + static_cast<double>(*a - 1) * 0.0625 + (random_.next() / 4294967296.0 - 0.5) * 0.03125;
    x_ = x_ + v_;
    if (*a != 1 && fuel_ > 0) fuel_ -= 1;
    set_cell(random_.next() % 64);
    turn_lamps();
    const double reward = 1 - x_ * x_;
    const bool terminated = x_ > 2 || x_ < -2 || fuel_ == 0;
    rlay::Dict info{{"t", t_}, {"speed", std::fabs(v_)}, {"far", x_ > 1 || x_ < -1}, {"name", "drift – é漢🎲"}};
    return rlay::StepResult{observation(), reward, terminated, t_ >= 100, std::move(info)};
  }

  rlay::Expected<Value> render() override {
    if (render_mode_ == "ansi") return Value("t=" + std::to_string(t_));
    NdArray image(rlay::Dtype::uint8, {8, 8, 3});
    for (std::size_t i = 0; i < 64; ++i) {
      const auto cell = board_.get<std::uint8_t>(i);
      image.set(3 * i, cell);
      image.set(3 * i + 1, static_cast<std::uint8_t>(255 - cell));
      image.set(3 * i + 2, static_cast<std::uint8_t>(t_ & 255));
    }
    return Value(image);
  }

 private:
  void set_cell(std::size_t i) { board_.set(i, static_cast<std::uint8_t>(random_.next() & 255)); }
  void turn_lamps() {
    dials_ = NdArray::of<std::int64_t>({t_ % 3, random_.next() % 5});
    const std::uint32_t n = random_.next() & 15;
    for (unsigned i = 0; i < 4; ++i) lights_.set(i, static_cast<std::int8_t>(n >> i & 1));
  }
  Value observation() const {
    return rlay::Dict{{"board", board_},
                      {"dials", dials_},
                      {"fuel", fuel_},
                      {"lights", lights_},
                      {"position", NdArray::of<double>({x_, v_})}};
  }

  std::string render_mode_;
  Generator random_;
  std::int64_t t_ = 0;
  double x_ = 0;
  double v_ = 0;
  std::uint32_t fuel_ = 0;
  NdArray board_{rlay::Dtype::uint8, {8, 8}};
  NdArray dials_;
  NdArray lights_{rlay::Dtype::int8, {4}};
};

std::vector<rlay::Space> cases() {
  using rlay::Half;
  constexpr double inf = std::numeric_limits<double>::infinity();
  constexpr float inf32 = std::numeric_limits<float>::infinity();
  using Limits = std::numeric_limits<std::int64_t>;
  return {
      spaces::Box::of<float>(-1, 1, {2, 3}),
      spaces::Box::of<std::uint8_t>(0, 255, {4, 5, 3}),
      spaces::Box::of<double>(-inf, inf, {}),
      spaces::Discrete(5, -2),
      spaces::MultiBinary::shaped({2, 3}),
      spaces::MultiDiscrete({3, 5, 2}, {0, -1, 7}),
      spaces::Text(12, 1, "aé漢🎲 b"),
      spaces::Tuple{{spaces::Discrete(3), spaces::Box::of<double>(0, 1, {2})}},
      spaces::Dict{{"a", spaces::Discrete(2)}, {"b", spaces::Tuple{{spaces::MultiBinary(3), spaces::Text(4)}}}},
      spaces::Sequence(spaces::Box::of<float>(0, 1, {2})),
      spaces::Sequence(spaces::Discrete(4), true),
      spaces::Graph(spaces::Box::of<float>(-1, 1, {3}), spaces::Discrete(4)),
      spaces::OneOf{{spaces::Discrete(3), spaces::Box::of<float>(-1, 1, {2})}},
      spaces::Box::of<Half>(Half(-1), Half(1), {3}),
      spaces::Box::of<bool>(false, true, {2}),
      spaces::Box::of<std::int64_t>(Limits::min(), Limits::max(), {2}),
      spaces::Box::of<float>({-1, -inf32}, {1, 5}, {2}),
      spaces::Graph(spaces::Box::of<double>(-1, 1, {2})),
  };
}

Value zero(const rlay::Space& space) {
  if (const auto* box = space.as<spaces::Box>()) return NdArray(box->dtype, box->shape);
  if (const auto* discrete = space.as<spaces::Discrete>()) return discrete->start;
  if (const auto* binary = space.as<spaces::MultiBinary>()) return NdArray(rlay::Dtype::int8, binary->shape);
  if (const auto* multi = space.as<spaces::MultiDiscrete>()) return NdArray::of<std::int64_t>(multi->start);
  if (const auto* text = space.as<spaces::Text>()) {
    // The first characters of these charsets are ASCII.
    return std::string(static_cast<std::size_t>(text->min_length), text->charset[0]);
  }
  if (const auto* tuple = space.as<spaces::Tuple>()) {
    rlay::Tuple zeros;
    for (const rlay::Space& member : tuple->members) zeros.items.push_back(zero(member));
    return zeros;
  }
  if (const auto* dict = space.as<spaces::Dict>()) {
    rlay::Dict zeros;
    for (const auto& [name, member] : dict->members) zeros.set(name, zero(member));
    return zeros;
  }
  if (const auto* sequence = space.as<spaces::Sequence>()) {
    if (sequence->stack) return NdArray(rlay::Dtype::int64, {0});
    return rlay::Tuple{};
  }
  if (const auto* graph = space.as<spaces::Graph>()) {
    const auto* node = graph->node->as<spaces::Box>();
    rlay::Shape shape = node->shape;
    shape.insert(shape.begin(), 1);
    return rlay::GraphInstance(NdArray(node->dtype, shape), nullptr, nullptr);
  }
  return rlay::Tuple{{rlay::Scalar::of<std::int64_t>(0), zero(space.as<spaces::OneOf>()->members[0])}};
}

class Echo : public rlay::Env {
 public:
  explicit Echo(rlay::Space space) : space_(std::move(space)) {}

  rlay::Space observation_space() const override { return space_; }
  rlay::Space action_space() const override { return space_; }
  rlay::Expected<rlay::ResetResult> reset(const std::optional<rlay::Seed>& seed, const Value& options) override {
    return rlay::ResetResult{zero(space_), reset_info(seed, options)};
  }
  rlay::Expected<rlay::StepResult> step(const Value& action) override { return rlay::StepResult{action, 0.5}; }

 private:
  rlay::Space space_;
};

rlay::Expected<std::unique_ptr<rlay::Env>> make(const rlay::Make& wanted) {
  const std::string name = wanted.env_id.value_or("Drift");
  const std::string mode = wanted.render_mode.value_or("");
  if (name == "Drift") {
    if (!mode.empty() && mode != "rgb_array" && mode != "ansi") {
      return rlay::env_error("ValueError", "there is no render mode " + mode);
    }
    return std::make_unique<Drift>(mode);
  }
  if (name != "Echo") throw std::invalid_argument("there is no environment " + name);
  const Value* which = wanted.kwarg("case");
  if (which == nullptr) return rlay::env_error("TypeError", "an Echo needs a case");
  const std::vector<rlay::Space> all = cases();
  const auto number = static_cast<std::size_t>(which->to_int().value_or(-1));
  if (number >= all.size()) return rlay::env_error("ValueError", "there is no such case");
  return std::make_unique<Echo>(all[number]);
}

int run(rlay::Backend& backend) {
  const rlay::Error error = backend.run();
  if (error) std::cerr << error.message << "\n";
  return error ? 1 : 0;
}

}  // namespace

int main(int count, char** arguments) {
  std::string how;
  std::string address;
  rlay::Options options;
  options.kwargs = {"case"};
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i];
    if (name == "--sessions") {
      options.max_sessions = static_cast<std::size_t>(std::stoul(arguments[i + 1]));
    } else {
      how = name;
      address = arguments[i + 1];
    }
  }
  if (how == "--dial") {
    rlay::ClientBackend backend(make, address, options);
    return run(backend);
  }
  if (how == "--listen") {
    rlay::ServerBackend backend(make, address, options);
    if (!backend.error()) std::cout << "listening at " << backend.address() << std::endl;
    return run(backend);
  }
  std::cerr << "usage: game --dial ADDRESS | --listen ADDRESS [--sessions N]\n";
  return 2;
}
