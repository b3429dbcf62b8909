// The game of sdk/tests/GAME.md through the wrappers: game --dial ADDRESS | --listen ADDRESS [--sessions N].
#include "drift.hpp"
#include "echo.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

constexpr std::uint32_t most_slots = 64;

/// What a session plays.
struct Game {
  std::optional<std::int64_t> echo;  ///< the case of Echo; without it Drift
  std::vector<Drift> drifts;         ///< one for each slot
};

void say(const char* what, const ffi::Error& error) { std::fprintf(stderr, "%s: %s\n", what, error.message.c_str()); }

ffi::Error make(const ffi::Turn& turn, Game& game) {
  const std::string_view name = turn.env_id().value_or("Drift");
  const std::size_t kwargs = turn.kwargs().count();
  const std::uint32_t slots = turn.slots() == 0 ? 1 : turn.slots();
  if (slots > most_slots) return turn.fail("", "ask for fewer environments", RLAY_USAGE);
  game = Game();
  if (name == "Echo") {
    const std::optional<ffi::ValueView> given = turn.kwargs().get("case");
    if (kwargs != 1 || !given) return turn.fail("", "Echo takes the keyword argument case alone", RLAY_USAGE);
    const std::int64_t which = given->to_int().value_or(-1);
    if (which < 0 || which >= echo_cases) return turn.fail("ValueError", "there is no such case");
    game.echo = which;
    ffi::Spec spec(echo_space(which), echo_space(which));
    return turn.reply_make(spec.set_slots(slots));
  }
  if (name != "Drift") return turn.fail("ValueError", "there are Drift and Echo");
  if (kwargs > 0) return turn.fail("", "Drift takes no keyword arguments", RLAY_USAGE);
  const std::string_view mode = turn.render_mode().value_or("ansi");
  if (mode != "rgb_array" && mode != "ansi") return turn.fail("ValueError", "Drift renders rgb_array and ansi");
  game.drifts.resize(slots);
  for (Drift& drift : game.drifts) drift_new(&drift);
  ffi::Spec spec = drift_description();
  return turn.reply_make(spec.set_slots(slots));
}

ffi::Error echo(const ffi::Turn& turn, std::int64_t which) {
  if (turn.kind() == RLAY_TURN_RESET) {
    const ffi::Value info =
        ffi::Value::dict().set("seeded", turn.seed().has_value()).set("options", turn.options().clone());
    return turn.reply({echo_zero(which), 0, false, false, info});
  }
  const ffi::Expected<ffi::ValueView> action = turn.action_value();
  if (!action) return turn.fail("", action.error().message, action.error().code);
  return turn.reply({*action, 0.5});
}

void sleep_if_asked(const ffi::ValueView& options) {
  const std::optional<ffi::ValueView> seconds = options.get("sleep");
  if (seconds) std::this_thread::sleep_for(std::chrono::duration<double>(seconds->to_double().value_or(0)));
}

ffi::Error answer(const ffi::Turn& turn, Game& game) {
  switch (turn.kind()) {
    case RLAY_TURN_MAKE: return make(turn, game);
    case RLAY_TURN_RESET:
      if (!game.echo) sleep_if_asked(turn.options());
      [[fallthrough]];
    case RLAY_TURN_STEP: return game.echo ? echo(turn, *game.echo) : drift_play(turn, game.drifts[turn.slot()]);
    case RLAY_TURN_RENDER:
      return turn.reply_frame(drift_picture(game.drifts[turn.slot()], turn.render_mode().value_or("ansi")));
    default: return {};
  }
}

}  // namespace

int main(int count, char** arguments) {
  std::string how;
  std::string address;
  ffi::Options options;
  options.max_sessions = 1;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i];
    if (name == "--sessions") {
      options.max_sessions = static_cast<std::uint32_t>(std::strtoul(arguments[i + 1], nullptr, 10));
    } else {
      how = name;
      address = arguments[i + 1];
    }
  }
  if (how != "--dial" && how != "--listen") {
    std::fputs("usage: game --dial ADDRESS | --listen ADDRESS [--sessions N]\n", stderr);
    return 2;
  }
  options.log = [](rlay_LogLevel level, std::string_view line) {
    std::fprintf(stderr, "%s: %.*s\n", level == RLAY_WARNING ? "warning" : "info", static_cast<int>(line.size()),
                 line.data());
  };
  const bool listens = how == "--listen";
  ffi::Expected<ffi::Env> env = listens ? ffi::Env::listen(address, options) : ffi::Env::dial(address, options);
  if (!env) {
    say("cannot begin", env.error());
    return 1;
  }
  if (listens) {
    std::printf("listening at %s\n", env->address().c_str());
    std::fflush(stdout);
  }
  std::vector<Game> games(*options.max_sessions);
  for (;;) {
    // A game would poll once a frame; this one has nothing else to do.
    const ffi::Expected<ffi::Turn> turn = env->wait(1.0);
    if (!turn && turn.error().code == RLAY_CLOSED) return 0;
    if (!turn) {
      say("polling", turn.error());
    } else if (const ffi::Error error = answer(*turn, games[turn->session()])) {
      say("answering", error);
    }
  }
}
