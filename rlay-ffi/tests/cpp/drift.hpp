/// \file
/// Drift, the first environment of sdk/tests/GAME.md: spaces and values for the rules, which are those of tests/c.
#ifndef DRIFT_HPP
#define DRIFT_HPP

#include <rlay_ffi.hpp>

#include <cmath>
#include <limits>

extern "C" {
#include "../c/drift.h"
}

namespace ffi = rlay::ffi;

inline ffi::Spec drift_description() {
  using ffi::Space;
  using ffi::Value;
  constexpr double inf = std::numeric_limits<double>::infinity();
  Space observations = Space::dict();
  observations.set("board", Space::box<std::uint8_t>(0, 255, {8, 8}))
      .set("dials", Space::multi_discrete({3, 5}))
      .set("fuel", Space::discrete(32))
      .set("lights", Space::multi_binary(4))
      .set("position", Space::box<double>(-inf, inf, {2}));
  ffi::Spec spec(std::move(observations), Space::discrete(3));
  spec.set_metadata(Value::dict().set("render_modes", Value::list("rgb_array", "ansi")).set("render_fps", 25));
  spec.set_details(Value::dict()
                       .set("reward_threshold", 60.0)
                       .set("nondeterministic", false)
                       .set("max_episode_steps", 100));
  return spec;
}

inline DriftObservation drift_observation(const Drift& drift) {
  DriftObservation observation;
  drift_observe(&drift, &observation);
  return observation;
}

inline ffi::Value drift_step_info(const Drift& drift) {
  return ffi::Value::dict()
      .set("t", drift.t)
      .set("speed", std::fabs(drift.v))
      .set("far", drift.x > 1 || drift.x < -1)
      .set("name", "drift \u2013 \u00e9\u6f22\U0001f3b2");
}

inline ffi::Value drift_picture(const Drift& drift, std::string_view mode) {
  if (mode == "ansi") return "t=" + std::to_string(drift.t);
  std::vector<std::uint8_t> pixels;
  for (const std::uint8_t cell : drift.board) {
    pixels.push_back(cell);
    pixels.push_back(static_cast<std::uint8_t>(255 - cell));
    pixels.push_back(static_cast<std::uint8_t>(drift.t & 255));
  }
  return ffi::Value::array<std::uint8_t>({8, 8, 3}, pixels);
}

/// Answers a reset or step of Drift.
inline ffi::Error drift_play(const ffi::Turn& turn, Drift& drift) {
  if (turn.kind() == RLAY_TURN_RESET) {
    if (turn.seed()) drift_seed(&drift, *turn.seed());
    drift_reset(&drift);
    const ffi::Value info =
        ffi::Value::dict().set("seeded", turn.seed().has_value()).set("options", turn.options().clone());
    return turn.reply({drift_observation(drift), 0, false, false, info});
  }
  const ffi::Expected<std::int64_t> action = turn.action_int();
  if (!action && action.error().code == RLAY_WRONG_KIND) return turn.fail("TypeError", "an action is an integer");
  if (!action) return turn.fail("", action.error().message, action.error().code);
  if (*action < 0 || *action > 2) {
    return turn.fail("ValueError", "an action from 0 to 2, not " + std::to_string(*action));
  }
  drift_step(&drift, *action);
  return turn.reply({drift_observation(drift), drift_reward(&drift), drift_is_over(&drift), drift.t >= 100,
                     drift_step_info(drift)});
}

#endif
