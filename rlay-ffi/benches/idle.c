/* What a frame costs in which no agent wants anything: the median time of rlay_env_poll, over each transport, before an
 * agent has come and while one has a session. idle.sh builds and runs it. */
#define _POSIX_C_SOURCE 200809L

#include "../tests/c/check.h"

#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 4001, POLLS = 16 };

typedef struct {
    const char *address;
    size_t length;
} Place;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_measured;

/* An agent that resets once, and leaves when all is measured. */
static void *play(void *user) {
    const Place *place = user;
    rlay_Agent *agent;
    rlay_Step first;
    OK(rlay_agent_connect(place->address, place->length, NULL, &agent));
    OK(rlay_agent_reset(agent, NULL, NULL, &first));
    pthread_mutex_lock(&lock);
    while (!is_measured)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    OK(rlay_agent_close(agent));
    return NULL;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The median of the time of one poll in ns. */
static double median(rlay_Env *env) {
    static double times[ROUNDS];
    rlay_Turn turn;
    int i, j;
    for (i = 0; i < ROUNDS; i++) {
        const double start = now();
        for (j = 0; j < POLLS; j++) {
            OK(rlay_env_poll(env, &turn));
            TRUE(turn.kind == RLAY_TURN_NONE);
        }
        times[i] = (now() - start) / POLLS;
    }
    qsort(times, ROUNDS, sizeof times[0], compare);
    return times[ROUNDS / 2];
}

/* Answers turns until one of this kind has come. */
static void serve(rlay_Env *env, rlay_TurnKind last) {
    static const rlay_Discrete zero = {0};
    rlay_Result result = {0};
    rlay_Turn turn;
    result.observation = &zero;
    result.observation_length = sizeof zero;
    do {
        OK(rlay_env_wait(env, 60, &turn));
        if (turn.kind == RLAY_TURN_RESET)
            OK(rlay_env_reply(env, &turn, &result));
    } while (turn.kind != last);
}

static void measure(const char *address, uint32_t max_sessions) {
    rlay_Spec *spec = rlay_spec_new(rlay_space_discrete(2, 0), rlay_space_discrete(2, 0));
    rlay_Options *options = rlay_options_new();
    rlay_Env *env;
    Place place;
    pthread_t agent;
    double without, with;
    OK(rlay_options_set_max_sessions(options, max_sessions));
    OK(rlay_env_listen(address, strlen(address), spec, options, &env));
    OK(rlay_env_address(env, &place.address, &place.length));
    without = median(env);
    is_measured = false;
    TRUE(pthread_create(&agent, NULL, play, &place) == 0);
    serve(env, RLAY_TURN_RESET);
    with = median(env);
    pthread_mutex_lock(&lock);
    is_measured = true;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    serve(env, RLAY_TURN_CLOSE);
    TRUE(pthread_join(agent, NULL) == 0);
    printf("%-6.*s  %12u  %10.0f ns  %12.0f ns\n", (int)strcspn(address, ":"), address, max_sessions, without, with);
    fflush(stdout);
    OK(rlay_env_close(env));
    rlay_options_free(options);
    rlay_spec_free(spec);
}

int main(void) {
    char local[64], shared[64];
    uint32_t max_sessions;
    snprintf(local, sizeof local, "unix:///tmp/rlay-idle-%ld.sock", (long)getpid());
    snprintf(shared, sizeof shared, "shm://idle-%ld", (long)getpid());
    puts("        max_sessions     no session     one session");
    for (max_sessions = 1; max_sessions <= 2; max_sessions++) {
        measure("tcp://127.0.0.1:0", max_sessions);
        measure(local, max_sessions);
        measure(shared, max_sessions);
    }
    return 0;
}
