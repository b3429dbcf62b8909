/* The game of sdk/tests/GAME.md through the poll form: game --dial ADDRESS | --listen ADDRESS [--sessions N]. */
#define _POSIX_C_SOURCE 200809L
#include "drift.h"
#include "echo.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_SLOTS 64

/* What a session plays. */
typedef struct {
    int64_t echo; /* the case of Echo, or -1: Drift */
    Drift drift[MOST_SLOTS];
} Game;

static void log_line(void *user, rlay_LogLevel level, const char *text, size_t length) {
    (void)user;
    fprintf(stderr, "%s: %.*s\n", level == RLAY_WARNING ? "warning" : "info", (int)length, text);
}

static void say(const char *what) { fprintf(stderr, "%s: %s\n", what, rlay_last_error(NULL, NULL)); }

static rlay_Status refuse(rlay_Env *env, const rlay_Turn *turn, int32_t code, const char *type, const char *message) {
    return rlay_env_reply_error(env, turn, code, type, strlen(type), message, strlen(message));
}

/* Refuses a step whose action could not be read: malformed bytes are the peer's fault, a value of another kind is not. */
static rlay_Status refuse_action(rlay_Env *env, const rlay_Turn *turn, rlay_Status why) {
    size_t length;
    const char *text = rlay_last_error(&length, NULL);
    return rlay_env_reply_error(env, turn, why == RLAY_PROTOCOL ? why : RLAY_ENV, "TypeError", 9, text, length);
}

static bool is_text(const char *text, size_t length, const char *wanted) {
    return length == strlen(wanted) && memcmp(text, wanted, length) == 0;
}

static rlay_Status make(rlay_Env *env, const rlay_Turn *turn, Game *game) {
    const bool is_echo = turn->env_id && is_text(turn->env_id, turn->env_id_length, "Echo");
    const size_t kwargs = rlay_value_count(turn->kwargs);
    const rlay_Value *given = NULL;
    const uint32_t slots = turn->slots ? turn->slots : 1;
    rlay_Spec *spec;
    rlay_Status status;
    uint32_t i;
    if (slots > MOST_SLOTS)
        return refuse(env, turn, RLAY_USAGE, "", "ask for fewer environments");
    if (turn->env_id && !is_echo && !is_text(turn->env_id, turn->env_id_length, "Drift"))
        return refuse(env, turn, RLAY_ENV, "ValueError", "there are Drift and Echo");
    if (is_echo) {
        if (kwargs != 1 || rlay_value_get(turn->kwargs, "case", 4, &given) != RLAY_OK)
            return refuse(env, turn, RLAY_USAGE, "", "Echo takes the keyword argument case alone");
        if (rlay_value_as_int(given, &game->echo) != RLAY_OK || game->echo < 0 || game->echo >= ECHO_CASES)
            return refuse(env, turn, RLAY_ENV, "ValueError", "there is no such case");
        spec = rlay_spec_new(echo_space(game->echo), echo_space(game->echo));
    } else {
        if (kwargs > 0)
            return refuse(env, turn, RLAY_USAGE, "", "Drift takes no keyword arguments");
        if (turn->render_mode && !is_text(turn->render_mode, turn->render_mode_length, "rgb_array") &&
            !is_text(turn->render_mode, turn->render_mode_length, "ansi"))
            return refuse(env, turn, RLAY_ENV, "ValueError", "Drift renders rgb_array and ansi");
        game->echo = -1;
        for (i = 0; i < slots; i++)
            drift_new(&game->drift[i]);
        spec = drift_spec();
    }
    rlay_spec_set_slots(spec, slots);
    status = rlay_env_reply_make(env, turn, spec);
    rlay_spec_free(spec);
    return status;
}

static void sleep_if_asked(const rlay_Value *options) {
    const rlay_Value *item;
    double seconds;
    struct timespec time;
    if (rlay_value_get(options, "sleep", 5, &item) != RLAY_OK || rlay_value_as_float(item, &seconds) != RLAY_OK)
        return;
    time.tv_sec = (time_t)seconds;
    time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
    nanosleep(&time, NULL);
}

static rlay_Status play(rlay_Env *env, const rlay_Turn *turn, Game *game) {
    Drift *drift = &game->drift[turn->slot];
    DriftObservation observation;
    rlay_Value *info, *zero = NULL;
    rlay_Result result = {0};
    rlay_Status status = RLAY_OK;
    int64_t action = 0;
    if (turn->kind == RLAY_TURN_STEP && game->echo >= 0)
        status = rlay_env_action_value(env, turn, &result.observation_value);
    else if (turn->kind == RLAY_TURN_STEP)
        status = rlay_env_action_int(env, turn, &action);
    if (status != RLAY_OK)
        return refuse_action(env, turn, status);
    if (action < 0 || action > 2) {
        char text[64];
        snprintf(text, sizeof text, "an action from 0 to 2, not %" PRId64, action);
        return refuse(env, turn, RLAY_ENV, "ValueError", text);
    }
    info = rlay_value_dict();
    if (turn->kind == RLAY_TURN_RESET) {
        rlay_value_set(info, "seeded", 6, rlay_value_bool(turn->has_seed));
        rlay_value_set(info, "options", 7, rlay_value_clone(turn->options));
        if (game->echo >= 0) {
            result.observation_value = zero = echo_zero(game->echo);
        } else {
            if (turn->has_seed)
                drift_seed(drift, turn->seed);
            drift_reset(drift);
            sleep_if_asked(turn->options);
        }
    } else if (game->echo >= 0) {
        result.reward = 0.5;
    } else {
        drift_step(drift, action);
        rlay_value_free(info);
        info = drift_info(drift);
        result.reward = drift_reward(drift);
        result.terminated = drift_is_over(drift);
        result.truncated = drift->t >= 100;
    }
    if (game->echo < 0) {
        drift_observe(drift, &observation);
        result.observation = &observation;
        result.observation_length = sizeof observation;
    }
    result.info = info;
    status = rlay_env_reply(env, turn, &result);
    rlay_value_free(info);
    rlay_value_free(zero);
    return status;
}

static rlay_Status answer(rlay_Env *env, const rlay_Turn *turn, Game *game) {
    switch (turn->kind) {
    case RLAY_TURN_MAKE: return make(env, turn, game);
    case RLAY_TURN_RESET:
    case RLAY_TURN_STEP: return play(env, turn, game);
    case RLAY_TURN_RENDER:
        return rlay_env_reply_frame(
            env, turn, drift_frame(&game->drift[turn->slot], turn->render_mode, turn->render_mode_length));
    default: return RLAY_OK;
    }
}

int main(int argc, char **argv) {
    const char *address = NULL;
    bool listens = false;
    uint32_t sessions = 1;
    rlay_Options *options = rlay_options_new();
    rlay_Env *env;
    rlay_Status status;
    Game *games;
    int i;
    for (i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--sessions") == 0)
            sessions = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else {
            listens = strcmp(argv[i], "--listen") == 0;
            address = argv[i + 1];
        }
    }
    if (!address) {
        fputs("usage: game --dial ADDRESS | --listen ADDRESS [--sessions N]\n", stderr);
        return 2;
    }
    rlay_options_set_max_sessions(options, sessions);
    rlay_options_set_log(options, log_line, NULL);
    status = (listens ? rlay_env_listen : rlay_env_dial)(address, strlen(address), NULL, options, &env);
    rlay_options_free(options);
    games = calloc(sessions, sizeof *games);
    if (status != RLAY_OK || !games) {
        say("cannot begin");
        return 1;
    }
    if (listens) {
        size_t length;
        rlay_env_address(env, &address, &length);
        printf("listening at %.*s\n", (int)length, address);
        fflush(stdout);
    }
    for (;;) {
        /* A game would poll once a frame; this one has nothing else to do. */
        rlay_Turn turn;
        status = rlay_env_wait(env, 1.0, &turn);
        if (status == RLAY_CLOSED)
            break;
        if (status != RLAY_OK)
            say("polling");
        else if (turn.kind != RLAY_TURN_NONE && answer(env, &turn, &games[turn.session]) != RLAY_OK)
            say("answering");
    }
    rlay_env_close(env);
    free(games);
    return 0;
}
