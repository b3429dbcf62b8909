/* The C ABI of RLay: environments and agents over every transport. Made of rlay-ffi/src by
 * rlay-ffi/tests/header.rs, which compares the two; do not edit.
 *
 * How it is used from the loop of a game:
 *
 *     rlay_Space *observations = rlay_space_dict();
 *     rlay_space_set(observations, "fuel", 4, rlay_space_discrete(32, 0));
 *     rlay_Spec *spec = rlay_spec_new(observations, rlay_space_discrete(3, 0));
 *     rlay_Env *env;
 *     if (rlay_env_listen(address, strlen(address), spec, NULL, &env) != RLAY_OK)
 *         puts(rlay_last_error(NULL, NULL));
 *     for (;;) {                                    once a frame:
 *         rlay_Turn turn;
 *         rlay_env_poll(env, &turn);                never blocks
 *         if (turn.kind == RLAY_TURN_RESET || turn.kind == RLAY_TURN_STEP) {
 *             ...                                   play
 *             rlay_Result result = {0};
 *             result.observation = &fuel;
 *             result.observation_length = sizeof fuel;
 *             rlay_env_reply(env, &turn, &result);
 *         }
 *         ...                                       draw
 *     }
 *
 * What holds for all of it:
 *
 * - Status. Functions return an rlay_Status, and rlay_last_error gives the text of the last error of
 *   the thread. Constructors of values, spaces, specs and options return NULL instead. A function
 *   that takes one of these fails where it is given NULL, and a space that lacks a part makes no
 *   spec: of the calls that declare an environment only the last need be checked.
 * - Texts are UTF-8 with a length. Where a function takes a text, no NUL is needed behind it; where
 *   RLay gives one, only rlay_last_error and rlay_status_name put a NUL behind it.
 * - Ownership. What a constructor returns is the caller's, until it is freed or given to a function
 *   that says that it takes it. A pointer to const that RLay gives is part of something else.
 * - Threads. Each function says where it may be called and whether it blocks. Environments and agents
 *   belong to the thread that opened them. One process can have any number of them.
 * - Mistakes. NULL, buffers that are too short, handles that were closed and calls from other threads
 *   come to an error code. Freed values, spaces, specs and options, and pointers to other things than
 *   their types say, are what C cannot check.
 * - SIGPIPE does not end the program where a peer is gone, over any transport (Linux). What the program does about the
 *   signal otherwise is left as it is.
 * - No exception or panic leaves RLay, and none may enter it from a callback.
 */
