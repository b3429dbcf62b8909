// Drift on one thread and a learner on another, over tcp, unix and shm, and what C++ callers do wrong:
// learner FOLDER, where the socket may lie.
#include "drift.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <thread>

#include <unistd.h>

namespace {

using ffi::Expected;

[[noreturn]] void fail(int line, const char* what, const std::string& message) {
  std::fprintf(stderr, "learner.cpp:%d: %s: %s\n", line, what, message.c_str());
  std::exit(1);
}

#define TRUE(condition)                                                          \
  do {                                                                           \
    if (!(condition)) fail(__LINE__, #condition, ffi::last_error().message);     \
  } while (false)
#define EXPECT(call, wanted)                                                     \
  do {                                                                           \
    const ffi::Error error_ = (call);                                            \
    if (error_.code != (wanted)) fail(__LINE__, #call, error_.message);          \
  } while (false)

/// The error of a call that returns an Expected.
template <class T>
ffi::Error of(const Expected<T>& result) {
  return result ? ffi::Error() : result.error();
}

/// Answers what is done with the attribute "gravity", or with the function "fall(seconds)".
ffi::Error answer_attribute(const ffi::Turn& turn, double& gravity) {
  if (turn.attribute() == "fall") {
    if (turn.access() == RLAY_GET) return turn.reply_function();
    return turn.reply_attribute(gravity * *turn.value().item(0)->to_double());
  }
  if (turn.access() == RLAY_SET) {
    gravity = *turn.value().to_double();
    return turn.reply_attribute(nullptr);
  }
  return turn.reply_attribute(gravity);
}

/// Hosts Drift until its agent has left.
void host(const std::string& at, std::promise<std::string> listening) {
  ffi::Options options;
  options.attributes = {"gravity", "fall"};
  double gravity = 9.75;
  std::size_t lines = 0;
  options.log = [&lines](rlay_LogLevel, std::string_view line) { lines += line.empty() ? 0 : 1; };
  Expected<ffi::Env> opened = ffi::Env::listen(at, drift_description(), options);
  TRUE(opened);
  ffi::Env env = std::move(*opened);
  listening.set_value(env.address());
  Drift drift;
  drift_new(&drift);
  std::optional<ffi::Turn> answered;
  for (;;) {
    const Expected<ffi::Turn> turn = env.wait(30);
    TRUE(turn);
    switch (turn->kind()) {
      case RLAY_TURN_RESET:
      case RLAY_TURN_STEP: EXPECT(drift_play(*turn, drift), RLAY_OK); break;
      case RLAY_TURN_RENDER: EXPECT(turn->reply_frame(drift_picture(drift, *turn->render_mode())), RLAY_OK); break;
      case RLAY_TURN_ATTRIBUTE: EXPECT(answer_attribute(*turn, gravity), RLAY_OK); break;
      case RLAY_TURN_CLOSE:
        TRUE(!turn->reason().empty() && lines > 0);
        EXPECT(answered->reply({drift_observation(drift)}), RLAY_USAGE);  // it was answered before
        EXPECT(env.close(), RLAY_OK);
        EXPECT(env.close(), RLAY_CLOSED);
        EXPECT(of(env.poll()), RLAY_CLOSED);
        EXPECT(answered->reply({drift_observation(drift)}), RLAY_CLOSED);
        return;
      default: fail(__LINE__, "a turn", std::to_string(turn->kind()));
    }
    answered = *turn;
  }
}

void play(const std::string& at) {
  std::promise<std::string> listening;
  std::future<std::string> address = listening.get_future();
  std::thread hosting(host, at, std::move(listening));
  ffi::Options options;
  options.render_mode = "ansi";
  options.timeout = 60;
  Expected<ffi::Agent> agent = ffi::Agent::connect(address.get(), options);
  TRUE(agent);
  EXPECT(of(agent->step(ffi::discrete(1))), RLAY_RESET_NEEDED);

  const Expected<ffi::SpecView> spec = agent->spec();
  TRUE(spec && spec->slots() == 1);
  TRUE(spec->action_space().kind() == RLAY_SPACE_DISCRETE);
  TRUE(spec->action_space().range(0)->second == 2);
  TRUE(spec->metadata().get("render_fps")->to_int() == 25);
  TRUE(spec->attributes() == (std::vector<std::string_view>{"gravity", "fall"}));
  TRUE(drift_description().attributes().empty());
  const ffi::SpaceView observations = spec->observation_space();
  TRUE(*observations.packed_size() == sizeof(DriftObservation) && observations.leaves()->size() == 5);
  TRUE(observations.leaves()->at(2).offset == offsetof(DriftObservation, fuel));
  TRUE(observations.key(4)->to_text() == "position" && !observations.member(5));
  TRUE(observations.describe() == drift_description().observation_space().describe());

  Drift drift;
  drift_new(&drift);
  for (std::uint64_t episode = 0; episode < 3; ++episode) {
    const Expected<ffi::Step> first = agent->reset(episode, ffi::Value::dict().set("level", episode));
    TRUE(first && first->info().get("seeded")->to_bool() == true);
    TRUE(first->info().get("options")->get("level")->to_int() == static_cast<std::int64_t>(episode));
    drift_seed(&drift, episode);
    drift_reset(&drift);
    for (std::int64_t t = 1;; ++t) {
      // Every third action is a value.
      const Expected<ffi::Step> next = t % 3 == 0 ? agent->step(ffi::Value(t % 2)) : agent->step(ffi::discrete(t % 2));
      TRUE(next);
      drift_step(&drift, t % 2);
      const DriftObservation wanted = drift_observation(drift);
      const auto* seen = next->observation<DriftObservation>();
      TRUE(seen != nullptr && std::memcmp(seen, &wanted, sizeof wanted) == 0);
      TRUE(next->observation<double>() == nullptr);
      TRUE(next->reward() == drift_reward(&drift) && next->info().get("t")->to_int() == t);
      TRUE(agent->observation_value()->get("fuel")->to_int() == drift.fuel);
      TRUE(agent->spec()->observation_space().contains(*agent->observation_value()));
      if (next->terminated() || next->truncated()) break;
    }
    TRUE(agent->render()->to_text() == "t=" + std::to_string(drift.t));
  }
  TRUE(agent->get_attr("gravity")->to_double() == 9.75);
  EXPECT(agent->set_attr("gravity", ffi::Value(1.5)), RLAY_OK);
  TRUE(agent->call("fall", ffi::Value::list(4.0))->to_double() == 6.0);
  TRUE(agent->get_attr("fall") && agent->get_attr("fall")->get() == nullptr);
  EXPECT(of(agent->get_attr("lift")), RLAY_USAGE);
  EXPECT(agent->set_attr("gravity", {}), RLAY_NULL_ARGUMENT);
  EXPECT(of(agent->call("fall", ffi::Value(4.0))), RLAY_WRONG_KIND);
  const ffi::Error refused = of(agent->step(ffi::discrete(7)));
  TRUE(refused.code == RLAY_ENV);
  TRUE(refused.message.find("ValueError: an action from 0 to 2, not 7") != std::string::npos);
  EXPECT(of(agent->step(ffi::Element(&drift, 3))), RLAY_INVALID_ACTION);
  std::thread([&] { EXPECT(of(agent->render()), RLAY_WRONG_THREAD); }).join();
  EXPECT(agent->close(), RLAY_OK);
  EXPECT(of(agent->reset()), RLAY_CLOSED);
  hosting.join();
}

/// Two games that dial in play Drift, each for its own slot.
void play_two_at_once() {
  ffi::Options options;
  options.num_envs = 2;
  options.autoreset_mode = RLAY_AUTORESET_SAME_STEP;
  options.render_mode = "ansi";
  options.timeout = 60;
  Expected<ffi::VectorAgent> agent = ffi::VectorAgent::listen("tcp://127.0.0.1:0", options);
  TRUE(agent);
  const auto game = [address = agent->address()] {
    ffi::Options offered;
    offered.attributes = {"gravity", "fall"};
    Expected<ffi::Env> env = ffi::Env::dial(address, drift_description(), offered);
    TRUE(env);
    double gravity = 9.75;
    Drift drift;
    drift_new(&drift);
    for (;;) {
      const Expected<ffi::Turn> turn = env->wait(30);
      TRUE(turn);
      switch (turn->kind()) {
        case RLAY_TURN_CLOSE: return;
        case RLAY_TURN_ATTRIBUTE: EXPECT(answer_attribute(*turn, gravity), RLAY_OK); break;
        case RLAY_TURN_RENDER: EXPECT(turn->reply_frame(drift_picture(drift, "ansi")), RLAY_OK); break;
        default: EXPECT(drift_play(*turn, drift), RLAY_OK);
      }
    }
  };
  std::thread games[] = {std::thread(game), std::thread(game)};

  EXPECT(of(agent->step(ffi::discrete_batch({0, 0}))), RLAY_RESET_NEEDED);
  Expected<ffi::VectorStep> seen = agent->reset(7);
  TRUE(seen && seen->num_envs() == 2);
  const Expected<ffi::SpecView> spec = agent->spec();
  TRUE(spec && spec->slots() == 2);
  const rlay_Leaf fuel = *spec->observation_space().batch_leaf(2, 2);
  TRUE(seen->step.observations_length == *spec->observation_space().batch_size(2));

  Drift local[2];
  for (std::uint64_t slot = 0; slot < 2; ++slot) {
    drift_new(&local[slot]);
    drift_seed(&local[slot], 7 + slot);
    drift_reset(&local[slot]);
  }
  std::uint32_t ended = 0;
  for (std::int64_t t = 0; ended < 4; ++t) {
    const std::int64_t pushes[] = {t % 3, (t + 1) % 3};
    seen = t % 5 == 0 ? agent->step_value(ffi::Value::list(pushes[0], pushes[1]))
                      : agent->step(ffi::discrete_batch({pushes[0], pushes[1]}));
    TRUE(seen);
    std::uint32_t ends = 0;
    for (std::uint32_t slot = 0; slot < 2; ++slot) {
      drift_step(&local[slot], pushes[slot]);
      TRUE(seen->reward(slot) == drift_reward(&local[slot]));
      if (seen->terminated(slot) || seen->truncated(slot)) {
        const Expected<rlay_Final> final_episode = agent->final_episode(ends++);
        const DriftObservation wanted = drift_observation(local[slot]);
        TRUE(final_episode && final_episode->slot == slot && final_episode->observation_length == sizeof wanted);
        TRUE(std::memcmp(final_episode->observation, &wanted, sizeof wanted) == 0);
        drift_reset(&local[slot]);
      } else {
        TRUE(agent->info(slot)->get("t")->to_int() == local[slot].t);
      }
      std::int64_t left = 0;
      std::memcpy(&left, seen->step.observations + fuel.offset + 8 * slot, 8);
      TRUE(left == local[slot].fuel && agent->observation_value(slot)->get("fuel")->to_int() == left);
    }
    TRUE(seen->final_count() == ends);
    ended += ends;
  }
  for (std::uint32_t slot = 0; slot < 2; ++slot) {
    TRUE(agent->render()->item(slot)->to_text() == "t=" + std::to_string(local[slot].t));
  }
  EXPECT(agent->set_attr("gravity", ffi::Value::list(1.5)), RLAY_USAGE);
  EXPECT(agent->set_attr("gravity", ffi::Value::list(1.5, 2.5)), RLAY_OK);
  TRUE(agent->get_attr("gravity")->item(1)->to_double() == 2.5);
  TRUE(agent->call("fall", ffi::Value::list(4.0))->item(0)->to_double() == 6.0);
  TRUE(agent->get_attr("fall") && agent->get_attr("fall")->get() == nullptr);
  EXPECT(of(agent->late()), RLAY_USAGE);
  EXPECT(of(agent->step(ffi::discrete_batch({0}))), RLAY_INVALID_ACTION);
  EXPECT(of(agent->final_episode(2)), RLAY_NOT_FOUND);
  EXPECT(of(agent->info(2)), RLAY_NOT_FOUND);
  std::thread([&] { EXPECT(of(agent->reset()), RLAY_WRONG_THREAD); }).join();
  EXPECT(agent->close(), RLAY_OK);
  EXPECT(of(agent->reset()), RLAY_CLOSED);
  for (std::thread& playing : games) playing.join();
}

void parts_that_cannot_be_made() {
  using ffi::Space;
  using ffi::Value;
  TRUE(!Space::discrete(0) && !Space::box_each<float>({0}, {1, 2}, {2}) && !Space::multi_discrete({2, 3}, {0}));
  TRUE(!Space::dict().set("a", Space::discrete(0)));
  TRUE(!Space::graph(Space::box<float>(0, 1, {2}), Space::discrete(0)));
  TRUE(!Value("\xff") && !Value::list(1, "\xff") && !Value::dict().set("key", Value::array<float>({3}, {1, 2})));
  TRUE(!Value(3).set("key", 4));
  const Expected<ffi::Env> env = ffi::Env::listen("mem://parts", ffi::Spec(Space::discrete(0), Space::discrete(2)));
  TRUE(!env && env.error().code == RLAY_NULL_ARGUMENT);
  TRUE(env.error().message.find("the spec could not be made") != std::string::npos);
  ffi::Options options;
  options.token = "short";
  TRUE(of(ffi::Env::listen("mem://parts", options)).code == RLAY_USAGE);
  EXPECT(of(ffi::Env::dial("carrier-pigeon://coop")), RLAY_ADDRESS);
}

void values_are_read_as_they_were_made() {
  using ffi::Value;
  const Value value = Value::dict()
                          .set("list", Value::list(1, 2.5, true, nullptr, "text"))
                          .set("big", UINT64_MAX)
                          .set("bytes", Value::bytes("ab", 2))
                          .set("array", Value::array<std::int16_t>({2, 1}, {-1, 1}))
                          .set("scalar", Value::scalar(1.5F))
                          .put(5, Value::tuple(1));
  TRUE(value && value.count() == 6);
  const ffi::ValueView list = *value.get("list");
  TRUE(list.item(0)->to_int() == 1 && list.item(1)->to_double() == 2.5 && list.item(2)->to_bool() == true);
  TRUE(list.item(3)->is_none() && list.item(4)->to_text() == "text" && !list.item(5) && !list.to_int());
  TRUE(value.get("big")->kind() == RLAY_VALUE_BIG_INT && value.get("big")->to_bytes()->size() == 9);
  TRUE(value.get("bytes")->to_bytes() == "ab" && !value.get("nothing"));
  const rlay_Array array = *value.get("array")->to_array();
  TRUE(array.dtype == RLAY_INT16 && array.ndim == 2 && array.shape[0] == 2 && array.size == 4 && array.data[0] == 0xff);
  TRUE(value.get("scalar")->to_double() == 1.5 && value.entry(5)->first.to_int() == 5);
  Value copy = value.clone();
  TRUE(copy.describe() == value.describe() && copy.describe().size() > 64);
  const Value moved = std::move(copy);
  TRUE(moved && moved.count() == 6);
}

/// An environment is its thread's, and a turn that is answered on another is still to be answered.
void turns_on_another_thread() {
  const ffi::Spec spec(ffi::Space::discrete(2), ffi::Space::discrete(2));
  Expected<ffi::Env> env = ffi::Env::listen("mem://threads", spec);
  TRUE(env);
  std::thread learner([] {
    Expected<ffi::Agent> agent = ffi::Agent::connect("mem://threads");
    TRUE(agent && agent->reset());
    EXPECT(of(agent->step(ffi::discrete(1))), RLAY_ENV);
  });
  for (;;) {
    const Expected<ffi::Turn> turn = env->wait(30);
    TRUE(turn);
    if (turn->kind() == RLAY_TURN_CLOSE) break;
    std::thread([&] { EXPECT(turn->reply({ffi::discrete(0)}), RLAY_WRONG_THREAD); }).join();
    EXPECT(turn->reply({ffi::Value("\xff")}), RLAY_NULL_ARGUMENT);
    EXPECT(turn->reply({ffi::discrete(0), 0, false, false, ffi::Value::list()}), RLAY_WRONG_KIND);
    EXPECT(turn->reply({1.0}), RLAY_SHORT_BUFFER);
    if (turn->kind() == RLAY_TURN_RESET) EXPECT(turn->reply({ffi::discrete(0)}), RLAY_OK);
    if (turn->kind() == RLAY_TURN_STEP) EXPECT(turn->fail("ValueError", "no"), RLAY_OK);
  }
  learner.join();
  std::thread([&] { EXPECT(env->stop(), RLAY_OK); }).join();
  EXPECT(of(env->wait(60)), RLAY_CLOSED);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    std::fputs("usage: learner FOLDER\n", stderr);
    return 2;
  }
  parts_that_cannot_be_made();
  values_are_read_as_they_were_made();
  turns_on_another_thread();
  const std::string name = "learner-" + std::to_string(::getpid());
  play("tcp://127.0.0.1:0");
  play("unix://" + std::string(arguments[1]) + "/" + name);
  play("shm://" + name);
  play_two_at_once();
  std::puts("the learner has played");
  return 0;
}
