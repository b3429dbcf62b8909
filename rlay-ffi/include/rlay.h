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


#ifndef RLAY_H
#define RLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What a call came to. Numbers from 1 to 99 are those of `docs/wire.md`, section 11, which RLay has in every language;
// from 101 on they are this interface's own.
typedef enum {
  // It worked.
  RLAY_OK = 0,
  // The call makes no sense here. The text says what does.
  RLAY_USAGE = 1,
  // A step or render before the first reset, or after a failure that asks for one.
  RLAY_RESET_NEEDED = 2,
  // The action's structure is not that of the action space.
  RLAY_INVALID_ACTION = 3,
  // The endpoint was closed or stopped, or the handle never was one.
  RLAY_CLOSED = 4,
  // Another call is under way, or no more sessions are possible.
  RLAY_BUSY = 5,
  // The address is malformed, or no transport serves its scheme.
  RLAY_ADDRESS = 6,
  // Wire numbers, limits or spaces do not fit together.
  RLAY_INCOMPATIBLE = 7,
  // The peer sent what the protocol does not allow.
  RLAY_PROTOCOL = 8,
  // The environment's own code failed.
  RLAY_ENV = 9,
  // The connection could not be made, or was lost.
  RLAY_CONNECTION_LOST = 10,
  // No answer within the time that the caller allowed.
  RLAY_TIMEOUT = 11,
  // Another listener has the address.
  RLAY_ADDRESS_IN_USE = 12,
  // A token or certificate is missing or wrong, at either end.
  RLAY_UNAUTHORIZED = 13,
  // The system refused a thread or a descriptor.
  RLAY_RESOURCE_EXHAUSTED = 14,
  // A pointer is NULL that must not be.
  RLAY_NULL_ARGUMENT = 101,
  // The handle belongs to another thread, that which opened it.
  RLAY_WRONG_THREAD = 102,
  // The buffer is too short. The length that it needs was written.
  RLAY_SHORT_BUFFER = 103,
  // A bug of RLay. The handle that was used can only be closed.
  RLAY_PANIC = 104,
  // An argument has no meaning: a number that no enumeration has, a text that is not UTF-8, a size that does not fit.
  RLAY_INVALID_ARGUMENT = 105,
  // The value, space or turn is of another kind than the call is for.
  RLAY_WRONG_KIND = 106,
  // There is no such item or key.
  RLAY_NOT_FOUND = 107,
} rlay_Status;

// What a value is. The numbers are those of docs/wire.md, section 5.
typedef enum {
  // None.
  RLAY_VALUE_NONE = 0,
  // A bool: rlay_value_as_bool.
  RLAY_VALUE_BOOL = 1,
  // An int within 64 bits: rlay_value_as_int.
  RLAY_VALUE_INT = 2,
  // Any other int: rlay_value_as_bytes.
  RLAY_VALUE_BIG_INT = 3,
  // A float: rlay_value_as_float.
  RLAY_VALUE_FLOAT = 4,
  // A str: rlay_value_as_str.
  RLAY_VALUE_STR = 5,
  // A bytes: rlay_value_as_bytes.
  RLAY_VALUE_BYTES = 6,
  // A list: rlay_value_count, rlay_value_item.
  RLAY_VALUE_LIST = 7,
  // A tuple: rlay_value_count, rlay_value_item.
  RLAY_VALUE_TUPLE = 8,
  // A dict: rlay_value_get, rlay_value_count, rlay_value_entry.
  RLAY_VALUE_DICT = 9,
  // A NumPy array: rlay_value_as_array.
  RLAY_VALUE_ARRAY = 10,
  // A NumPy scalar: rlay_value_as_array, and as the number that it is.
  RLAY_VALUE_SCALAR = 11,
  // A GraphInstance, of which rlay_value_item gives nodes (0), edges (1) and edge_links (2).
  RLAY_VALUE_GRAPH = 12,
  // An object that could not be sent: rlay_value_describe shows it.
  RLAY_VALUE_OPAQUE = 13,
} rlay_ValueKind;

// The element types of arrays. The numbers are those of docs/wire.md, section 4.
typedef enum {
  // One byte, 0 or 1.
  RLAY_BOOL = 0,
  // int8_t.
  RLAY_INT8 = 1,
  // int16_t.
  RLAY_INT16 = 2,
  // int32_t.
  RLAY_INT32 = 3,
  // int64_t.
  RLAY_INT64 = 4,
  // uint8_t.
  RLAY_UINT8 = 5,
  // uint16_t.
  RLAY_UINT16 = 6,
  // uint32_t.
  RLAY_UINT32 = 7,
  // uint64_t.
  RLAY_UINT64 = 8,
  // IEEE 754 with 16 bits.
  RLAY_FLOAT16 = 9,
  // float.
  RLAY_FLOAT32 = 10,
  // double.
  RLAY_FLOAT64 = 11,
} rlay_DType;

// The class of a space. The numbers are those of docs/wire.md, section 6.
typedef enum {
  // Box.
  RLAY_SPACE_BOX = 0,
  // Discrete.
  RLAY_SPACE_DISCRETE = 1,
  // MultiBinary.
  RLAY_SPACE_MULTI_BINARY = 2,
  // MultiDiscrete.
  RLAY_SPACE_MULTI_DISCRETE = 3,
  // Text.
  RLAY_SPACE_TEXT = 4,
  // Tuple: rlay_space_count, rlay_space_member.
  RLAY_SPACE_TUPLE = 5,
  // Dict: rlay_space_count, rlay_space_member, rlay_space_key.
  RLAY_SPACE_DICT = 6,
  // Sequence, whose member 0 is the space of its items.
  RLAY_SPACE_SEQUENCE = 7,
  // Graph, whose members are the spaces of nodes and, if there is one, of edges.
  RLAY_SPACE_GRAPH = 8,
  // OneOf: rlay_space_count, rlay_space_member.
  RLAY_SPACE_ONE_OF = 9,
} rlay_SpaceKind;

// How much a line of the log matters.
typedef enum {
  // Nothing is wrong.
  RLAY_INFO = 0,
  // Something may be wrong.
  RLAY_WARNING = 1,
} rlay_LogLevel;

// What an agent wants.
typedef enum {
  // Nothing: draw, and poll again.
  RLAY_TURN_NONE = 0,
  // Make an environment: rlay_env_reply_make. Only environments that were opened without a spec have this turn.
  RLAY_TURN_MAKE = 1,
  // Start an episode: rlay_env_reply.
  RLAY_TURN_RESET = 2,
  // Take an action: rlay_env_reply.
  RLAY_TURN_STEP = 3,
  // Draw a frame: rlay_env_reply_frame.
  RLAY_TURN_RENDER = 4,
  // Get, set or call an attribute: rlay_env_reply_attribute.
  RLAY_TURN_ATTRIBUTE = 5,
  // Nothing more: the agent of this session is gone, and another may come. There is nothing to answer.
  RLAY_TURN_CLOSE = 6,
} rlay_TurnKind;

// What is done with an attribute: of turns, and of rlay_agent_attribute and rlay_vector_agent_attribute.
typedef enum {
  // Get it: its value, or NULL if it is a function.
  RLAY_GET = 0,
  // Set it to `value`; the answer is None.
  RLAY_SET = 1,
  // Call it with the tuple `value` and the dict `kwargs`; the answer is what it returns.
  RLAY_CALL = 2,
} rlay_Access;

// Which side begins the next episode where one has ended, and when: Gymnasium's AutoresetMode. The numbers are those of
// docs/wire.md, section 8.
typedef enum {
  // The learner, with a reset of these slots.
  RLAY_AUTORESET_DISABLED = 0,
  // The next step, which ignores the action of the slot: its row is the first of an episode.
  RLAY_AUTORESET_NEXT_STEP = 1,
  // The step that ends the episode: its row has the first observation of the next one.
  RLAY_AUTORESET_SAME_STEP = 2,
} rlay_AutoresetMode;

// An environment in another process, which this one plays with: Gymnasium's reset, step, render and close. It belongs
// to the thread that opened it: elsewhere calls fail with RLAY_WRONG_THREAD, except rlay_agent_stop. After
// rlay_agent_close they fail with RLAY_CLOSED. In a forked child an agent of the parent must not be used.
typedef struct rlay_Agent rlay_Agent;

// An environment that agents play with. It belongs to the thread that opened it: elsewhere calls fail with
// RLAY_WRONG_THREAD, except those that say otherwise. After rlay_env_close they fail with RLAY_CLOSED. In a forked child an
// environment of the parent must not be used.
typedef struct rlay_Env rlay_Env;

// Options of environments and agents; what does not concern one is ignored there. Options that rlay_options_new has made
// are the caller's, are freed with rlay_options_free, and can be given to any number of endpoints, which copy them. They
// belong to no thread, but two threads must not use them at the same time while one of them changes them.
typedef struct rlay_Options rlay_Options;

// A space of Gymnasium, of any of its ten classes.
//
// The functions named rlay_space_… that return a pointer make a new space, which is the caller's; NULL with a last error
// if that fails. It is given away with a call that says that it *takes* the space, whether that call succeeds or not, or
// freed with rlay_space_free. A call that takes a space and is given NULL fails, and its error goes on to say why there is
// none, so that calls can be nested and only the last one be checked. A `const rlay_Space *` that RLay gives is part of
// something else and is not freed.
//
// Spaces belong to no thread, but two threads must not use one at the same time while one of them changes it.
typedef struct rlay_Space rlay_Space;

// The description of an environment: its spaces, metadata, and how many slots there are.
//
// A spec that rlay_spec_new has made is the caller's; it is freed with rlay_spec_free, also after it was given to an
// environment, which copies it. It belongs to no thread, but two threads must not use one at the same time while one of
// them changes it.
typedef struct rlay_Spec rlay_Spec;

// A value that keeps Python's types apart: None, bool, int, float, str, bytes, list, tuple, dict, NumPy arrays and scalars,
// and graphs.
//
// The functions named rlay_value_… that return a pointer make a new value, which is the caller's; NULL with a last error
// if that fails. It is given away with a call that says that it *takes* the value, whether that call succeeds or not, or
// freed with rlay_value_free. A `const rlay_Value *` that RLay gives is part of something else and is not freed; NULL
// means None wherever a value is read.
//
// Values belong to no thread, but two threads must not use one at the same time while one of them changes it.
typedef struct rlay_Value rlay_Value;

// Many environments in other processes, which step at once: Gymnasium's VectorEnv. Each has a slot, numbered from 0.
// It belongs to the thread that opened it: elsewhere calls fail with RLAY_WRONG_THREAD, except rlay_vector_agent_stop.
// After rlay_vector_agent_close they fail with RLAY_CLOSED. In a forked child a vector agent of the parent must not be
// used.
typedef struct rlay_VectorAgent rlay_VectorAgent;

// What an array holds. Pointers are into the value.
typedef struct {
  // The element type.
  rlay_DType dtype;
  // Whether the sender's array was big-endian. `data` is little-endian all the same.
  bool big_endian;
  // Elements along each of `ndim` axes.
  const uint64_t *shape;
  // How many axes there are; 0 for a scalar.
  size_t ndim;
  // The elements in C order. They lie anywhere in memory: copy them where alignment counts.
  const uint8_t *data;
  // Bytes of data.
  size_t size;
} rlay_Array;

// A leaf of a space, and where it lies in the packed form.
typedef struct {
  // Box, Discrete, MultiBinary or MultiDiscrete.
  rlay_SpaceKind kind;
  // The type of its elements: of a MultiBinary RLAY_INT8. A Discrete is an rlay_Discrete in the packed form,
  // whatever its dtype.
  rlay_DType dtype;
  // Elements along each of `ndim` axes; NULL for a Discrete. It lies in the space.
  const uint64_t *shape;
  // How many axes there are.
  size_t ndim;
  // Where the leaf begins in the packed form, a multiple of 8.
  size_t offset;
  // Bytes of the leaf: of a Discrete 9, to which the zeros of its padding come.
  size_t size;
  // The space of the leaf, which lies in the space.
  const rlay_Space *space;
} rlay_Leaf;

// Takes a line of the log: UTF-8 of `length` bytes, valid during the call. It is called on the thread of the endpoint, while
// that is in a call of RLay, and must not use that endpoint: such calls fail with RLAY_BUSY. It must return, and throw
// nothing.
typedef void (*rlay_Log)(void *user, rlay_LogLevel level, const char *text, size_t length);

// What an agent wants of one slot. rlay_env_poll writes all of it. Pointers are into memory of the environment, and valid
// until the turn is answered or the environment is closed, those of RLAY_TURN_CLOSE until the next turn is polled. Texts
// have no NUL behind them. A turn may be copied.
typedef struct {
  // What the agent wants.
  rlay_TurnKind kind;
  // The session, below max_sessions: which agent.
  uint32_t session;
  // The slot in the session; 0 unless the spec says that there are several.
  uint32_t slot;
  // A number that no other turn of this environment has.
  uint64_t number;
  // RESET: whether there is a seed. Without one the generator of random numbers goes on.
  bool has_seed;
  // RESET: the seed's low 64 bits.
  uint64_t seed;
  // RESET: the whole seed, little-endian without zeros at the end.
  const uint8_t *seed_bytes;
  // RESET: its length, above 8 for one that does not fit `seed`.
  size_t seed_length;
  // RESET: the options, a dict or None.
  const rlay_Value *options;
  // STEP: the action in the packed form, aligned to 64 bytes in a session of one slot and to 8 else; NULL if it is none,
  // for its space has no packed form or the agent's action is of other types than the space's. rlay_env_action_int and
  // rlay_env_action_value read either.
  const uint8_t *action;
  // STEP: bytes of `action`; 0 without.
  size_t action_length;
  // MAKE: the name that is asked for; NULL without one.
  const char *env_id;
  // MAKE: its length.
  size_t env_id_length;
  // MAKE and CALL of an attribute: the keyword arguments, a dict whose keys are texts.
  const rlay_Value *kwargs;
  // MAKE and RENDER: the render mode; NULL without one.
  const char *render_mode;
  // MAKE and RENDER: its length.
  size_t render_mode_length;
  // MAKE: how many slots the agent wants; 0: as many as there are.
  uint32_t slots;
  // ATTRIBUTE: the name.
  const char *attribute;
  // ATTRIBUTE: its length.
  size_t attribute_length;
  // ATTRIBUTE: what is done with it, an rlay_Access.
  uint32_t access;
  // ATTRIBUTE: what it is set to, or the tuple of arguments.
  const rlay_Value *value;
  // CLOSE: why the agent is gone, for people.
  const char *reason;
  // CLOSE: its length.
  size_t reason_length;
} rlay_Turn;

// What came of a reset or step. Set all of it to zero first, as `rlay_Result result = {0}` does. Pointers are the caller's,
// and are read during the call.
typedef struct {
  // The observation in the packed form, in the order of the space's leaves, each of which begins at a multiple of 8
  // bytes (rlay_space_leaf); a C struct of the same members lies like that. The bytes between leaves do not count.
  const void *observation;
  // Its bytes, which are rlay_space_packed_size of the observation space.
  size_t observation_length;
  // The observation as a value, where `observation` is NULL: for spaces without a packed form, and for observations of
  // other types than the space's.
  const rlay_Value *observation_value;
  // The reward; means nothing after a reset.
  double reward;
  // Not 0: the task has ended the episode. Means nothing after a reset.
  uint8_t terminated;
  // Not 0: something else has ended the episode. Means nothing after a reset.
  uint8_t truncated;
  // A dict; NULL for an empty one, which costs no allocation.
  const rlay_Value *info;
} rlay_Result;

// What an environment does when it is asked. Set all of it to zero first. Each callback gets `user` and the turn, and
// returns RLAY_OK, or the code with which the agent is to be answered: RLAY_ENV, or others as with rlay_env_reply_error.
// rlay_fail gives the error its text. Callbacks are called on the thread of rlay_env_run, one at a time, and may use the
// environment to read actions and to stop or close it. They must return, and throw nothing.
typedef struct {
  // Passed to each callback.
  void *user;
  // Makes an environment: sets *spec to its description, which is copied and stays the program's. NULL where the
  // environment was opened with a spec.
  int32_t (*make)(void *user, const rlay_Turn *turn, const rlay_Spec **spec);
  // Starts an episode: fills *result, which was set to zero. What it points to is read right after the callback.
  int32_t (*reset)(void *user, const rlay_Turn *turn, rlay_Result *result);
  // Takes an action, and fills *result likewise.
  int32_t (*step)(void *user, const rlay_Turn *turn, rlay_Result *result);
  // Draws: sets *frame to a value, which RLay takes. NULL where there are no render modes.
  int32_t (*render)(void *user, const rlay_Turn *turn, rlay_Value **frame);
  // Gets, sets or calls an attribute: sets *value, which RLay takes. NULL where none are offered.
  int32_t (*attribute)(void *user, const rlay_Turn *turn, rlay_Value **value);
  // The agent of a session is gone. May be NULL.
  void (*close)(void *user, const rlay_Turn *turn);
} rlay_Callbacks;

// What came of a reset or step. Pointers are into memory of the agent, and valid until its next reset, step
// or late answer.
typedef struct {
  // The observation in the packed form, aligned to 64 bytes; NULL if it is none (rlay_agent_observation_value).
  const uint8_t *observation;
  // Its bytes; 0 without.
  size_t observation_length;
  // The reward; 0 after a reset.
  double reward;
  // Whether the task has ended the episode.
  bool terminated;
  // Whether something else has ended the episode.
  bool truncated;
  // The info, a dict.
  const rlay_Value *info;
} rlay_Step;

// What came of a reset or step of many environments. Pointers are into memory of the agent, and valid until its next
// reset, step or late answer. Arrays have `num_envs` entries, one for each slot.
typedef struct {
  // How many environments there are.
  uint32_t num_envs;
  // How many episodes have ended of which this step shows the next one already (rlay_vector_agent_final); 0 but in
  // the mode RLAY_AUTORESET_SAME_STEP.
  uint32_t final_count;
  // The last observation of every slot, one block in the packed form, aligned to 64 bytes: rlay_space_batch_leaf
  // says where each leaf lies. Zeros in slots that were never reset. NULL if one of them has no packed form
  // (rlay_vector_agent_observation_value).
  const uint8_t *observations;
  // Its bytes, which are rlay_space_batch_size; 0 without.
  size_t observations_length;
  // The rewards; they mean nothing after a reset.
  const double *rewards;
  // Where the task has ended the episode.
  const bool *terminations;
  // Where something else has ended the episode.
  const bool *truncations;
} rlay_VectorStep;

// The end of an episode whose slot has begun the next one in the same step: Gymnasium's final_obs and final_info.
// Pointers are valid as long as those of rlay_VectorStep.
typedef struct {
  // The slot.
  uint32_t slot;
  // The last observation of the episode in the packed form, which may lie at any address: copy it into a struct.
  // NULL if it is none.
  const uint8_t *observation;
  // Its bytes; 0 without.
  size_t observation_length;
  // The same as a value, where `observation` is NULL; otherwise NULL.
  const rlay_Value *observation_value;
  // The info of its last step, a dict.
  const rlay_Value *info;
} rlay_Final;

// An element of a Discrete in the packed form. One that is set to zero first has no other traps.
typedef struct {
  // The number.
  int64_t value;
  // 1: a NumPy scalar of the space's dtype. 0: a Python int.
  uint8_t is_numpy;
  // Zeros.
  uint8_t padding[7];
} rlay_Discrete;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The text of this thread's last error, and in *status, if it is not NULL, the error itself. Calls that succeed leave both
// as they are. The text is UTF-8 of *length bytes (if length is not NULL) and has a NUL behind it. It is RLay's, and
// valid until the next call of RLay on this thread. Any thread; does not block.
const char *rlay_last_error(size_t *length,
                            rlay_Status *status);

// The name of a status, such as "RLAY_USAGE", with a NUL behind it; "unknown" for other numbers. It is never freed. Any
// thread; does not block.
const char *rlay_status_name(int32_t status);

// The number of this interface: programs built for another number do not fit this library. 0 until RLay 1.0, in which
// time every release may change it. Any thread; does not block.
uint32_t rlay_abi_version(void);

// None. Any thread; does not block.
rlay_Value *rlay_value_none(void);

// A bool. Any thread; does not block.
rlay_Value *rlay_value_bool(bool x);

// An int. Any thread; does not block.
rlay_Value *rlay_value_int(int64_t x);

// An int of any size: `length` bytes, little-endian, in two's complement. The bytes are copied. Any thread; does not
// block.
rlay_Value *rlay_value_big_int(const uint8_t *bytes,
                               size_t length);

// A float. Any thread; does not block.
rlay_Value *rlay_value_float(double x);

// A str: UTF-8 of `length` bytes, which are copied. Any thread; does not block.
rlay_Value *rlay_value_str(const char *start, size_t length);

// A bytes of `length` bytes, which are copied. Any thread; does not block.
rlay_Value *rlay_value_bytes(const uint8_t *bytes, size_t length);

// An empty list; rlay_value_append adds to it. Any thread; does not block.
rlay_Value *rlay_value_list(void);

// An empty tuple; rlay_value_append adds to it. Any thread; does not block.
rlay_Value *rlay_value_tuple(void);

// An empty dict; rlay_value_set and rlay_value_put add to it. Any thread; does not block.
rlay_Value *rlay_value_dict(void);

// A NumPy array. `dtype` is an rlay_DType; `shape` has `ndim` entries; `data` has `size` bytes, the elements in C order.
// Both are copied. Any thread; does not block.
rlay_Value *rlay_value_array(uint32_t dtype,
                             const uint64_t *shape,
                             size_t ndim,
                             const uint8_t *data,
                             size_t size);

// A NumPy scalar, such as np.float32(1). `dtype` is an rlay_DType; `data` has `size` bytes, one element. They are copied.
// Any thread; does not block.
rlay_Value *rlay_value_scalar(uint32_t dtype,
                              const uint8_t *data,
                              size_t size);

// A GraphInstance. Takes the three values; `edges` and `edge_links` may be NULL. Any thread; does not block.
rlay_Value *rlay_value_graph(rlay_Value *nodes,
                             rlay_Value *edges,
                             rlay_Value *edge_links);

// A copy. Any thread; does not block.
rlay_Value *rlay_value_clone(const rlay_Value *value);

// Frees a value that is the caller's; NULL is allowed. Any thread; does not block.
void rlay_value_free(rlay_Value *value);

// Appends `item` to a list or tuple. Takes `item`. Any thread; does not block.
rlay_Status rlay_value_append(rlay_Value *sequence, rlay_Value *item);

// Stores `item` in a dict under the text `key` of `length` bytes, which is copied, in place of what was there. Takes
// `item`. Any thread; does not block.
rlay_Status rlay_value_set(rlay_Value *dict,
                           const char *key,
                           size_t length,
                           rlay_Value *item);

// The same with any key that a dict may have: a str, an int, None, a bool, a float, bytes, a scalar, or a tuple of these.
// Takes `key` and `item`. Any thread; does not block.
rlay_Status rlay_value_put(rlay_Value *dict,
                           rlay_Value *key,
                           rlay_Value *item);

// What `value` is. Any thread; does not block.
rlay_ValueKind rlay_value_kind(const rlay_Value *value);

// The truth value of a bool or np.bool_; RLAY_WRONG_KIND of anything else. Any thread; does not block.
rlay_Status rlay_value_as_bool(const rlay_Value *value,
                               bool *x);

// The number, if this is a Python or NumPy integer within 64 bits; RLAY_WRONG_KIND of anything else. Any thread; does not
// block.
rlay_Status rlay_value_as_int(const rlay_Value *value,
                              int64_t *x);

// The number, if this is a Python or NumPy number (integers beyond 2^53 are rounded); RLAY_WRONG_KIND of anything else. Any
// thread; does not block.
rlay_Status rlay_value_as_float(const rlay_Value *value,
                                double *x);

// The text of a str, as UTF-8 of *length bytes without a NUL behind it, which lie in the value; RLAY_WRONG_KIND of anything
// else. Any thread; does not block.
rlay_Status rlay_value_as_str(const rlay_Value *value,
                              const char **text,
                              size_t *length);

// The bytes of a bytes, or of an int beyond 64 bits (little-endian, two's complement), which lie in the value;
// RLAY_WRONG_KIND of anything else. Any thread; does not block.
rlay_Status rlay_value_as_bytes(const rlay_Value *value,
                                const uint8_t **bytes,
                                size_t *length);

// What an array or NumPy scalar holds, which lies in the value; RLAY_WRONG_KIND of anything else. Any thread; does not
// block.
rlay_Status rlay_value_as_array(const rlay_Value *value,
                                rlay_Array *array);

// How many items a list, tuple, dict or graph (3) has; 0 of anything else. Any thread; does not block.
size_t rlay_value_count(const rlay_Value *value);

// Item `index`, counted from 0, of a list, tuple or graph, which lies in the value; RLAY_NOT_FOUND if there are fewer. Any
// thread; does not block.
rlay_Status rlay_value_item(const rlay_Value *value,
                            size_t index,
                            const rlay_Value **found);

// Entry `index` of a dict, in the order of insertion: key and item, which lie in the value. Any thread; does not block.
rlay_Status rlay_value_entry(const rlay_Value *value,
                             size_t index,
                             const rlay_Value **key,
                             const rlay_Value **item);

// The item of a dict under the text `key` of `length` bytes, which lies in the value; RLAY_NOT_FOUND if there is none. Any
// thread; does not block.
rlay_Status rlay_value_get(const rlay_Value *value,
                           const char *key,
                           size_t length,
                           const rlay_Value **found);

// Writes the value as Python prints it, for people: UTF-8 of *length bytes, without a NUL. RLAY_SHORT_BUFFER if that is
// above `capacity`. Any thread; does not block.
rlay_Status rlay_value_describe(const rlay_Value *value,
                                char *buffer,
                                size_t capacity,
                                size_t *length);

// Box(low, high, shape, dtype) with the same bounds for all elements. `dtype` is an rlay_DType; `shape` has `ndim` entries
// and is copied. An infinite bound does not limit; a bound beyond what the dtype holds is the last that it holds. Any
// thread; does not block.
rlay_Space *rlay_space_box(uint32_t dtype,
                           const uint64_t *shape,
                           size_t ndim,
                           double low,
                           double high);

// Box with bounds that differ from element to element: `low` and `high` have `size` bytes each, the elements of an array
// of the space. They are copied. An infinite bound does not limit. Any thread; does not block.
rlay_Space *rlay_space_box_each(uint32_t dtype,
                                const uint64_t *shape,
                                size_t ndim,
                                const uint8_t *low,
                                const uint8_t *high,
                                size_t size);

// Discrete(n, start=start) of dtype int64. Any thread; does not block.
rlay_Space *rlay_space_discrete(uint64_t n, int64_t start);

// Discrete(n, start=start, dtype=dtype), of an integer type. Any thread; does not block.
rlay_Space *rlay_space_discrete_of(uint32_t dtype, uint64_t n, int64_t start);

// MultiBinary(n). Any thread; does not block.
rlay_Space *rlay_space_multi_binary(uint64_t n);

// MultiBinary(shape); the `ndim` entries of `shape` are copied. Any thread; does not block.
rlay_Space *rlay_space_multi_binary_of(const uint64_t *shape, size_t ndim);

// MultiDiscrete(nvec, start=start) of dtype int64 and of `count` numbers in one dimension. `start` may be NULL for zeros.
// Both are copied. Any thread; does not block.
rlay_Space *rlay_space_multi_discrete(const int64_t *nvec,
                                      const int64_t *start,
                                      size_t count);

// MultiDiscrete of any integer dtype and shape, of `count` elements. Any thread; does not block.
rlay_Space *rlay_space_multi_discrete_of(uint32_t dtype,
                                         const uint64_t *shape,
                                         size_t ndim,
                                         const int64_t *nvec,
                                         const int64_t *start,
                                         size_t count);

// Text(max_length, min_length=min_length, charset=charset). `charset` is UTF-8 of `length` bytes, which is copied; NULL is
// Gymnasium's own, digits and Latin letters. Lengths count code points. Any thread; does not block.
rlay_Space *rlay_space_text(uint64_t min_length,
                            uint64_t max_length,
                            const char *charset,
                            size_t length);

// A Tuple without spaces; rlay_space_append adds them. Any thread; does not block.
rlay_Space *rlay_space_tuple(void);

// A Dict without spaces; rlay_space_set adds them. Any thread; does not block.
rlay_Space *rlay_space_dict(void);

// A OneOf without spaces; rlay_space_append adds them, of which it needs one. Any thread; does not block.
rlay_Space *rlay_space_one_of(void);

// Sequence(item, stack=stack). Takes `item`. Any thread; does not block.
rlay_Space *rlay_space_sequence(rlay_Space *item, bool stack);

// Graph(node, edge). Takes both; `edge` may be NULL. Any thread; does not block.
rlay_Space *rlay_space_graph(rlay_Space *node, rlay_Space *edge);

// Appends `member` to a Tuple or OneOf. Takes `member`. If this fails, `space` is of no use any more, and what is made of it
// fails, too. Any thread; does not block.
rlay_Status rlay_space_append(rlay_Space *space,
                              rlay_Space *member);

// Adds `member` to a Dict under the text `key` of `length` bytes, which is copied; the order of the calls is the order of
// the keys, and observations lie in it. Takes `member`. If this fails, `space` is of no use any more. Any thread; does not block.
rlay_Status rlay_space_set(rlay_Space *space,
                           const char *key,
                           size_t length,
                           rlay_Space *member);

// The same with any key that a dict may have. Takes `key` and `member`. Any thread; does not block.
rlay_Status rlay_space_put(rlay_Space *space, rlay_Value *key, rlay_Space *member);

// A copy. Any thread; does not block.
rlay_Space *rlay_space_clone(const rlay_Space *space);

// Frees a space that is the caller's; NULL is allowed. Any thread; does not block.
void rlay_space_free(rlay_Space *space);

// Whether the space contains `value`, by the same rules as Gymnasium's. Any thread; does not block.
rlay_Status rlay_space_contains(const rlay_Space *space,
                                const rlay_Value *value,
                                bool *is_contained);

// The class of a space; of NULL RLAY_SPACE_TUPLE, and the last error says so. Any thread; does not block.
rlay_SpaceKind rlay_space_kind(const rlay_Space *space);

// How many members a space has; 0 of one that has none by its class. Any thread; does not block.
size_t rlay_space_count(const rlay_Space *space);

// Member `index`, counted from 0, which lies in the space; RLAY_NOT_FOUND if there is none. Any thread; does not
// block.
rlay_Status rlay_space_member(const rlay_Space *space,
                              size_t index,
                              const rlay_Space **found);

// The key of member `index` of a Dict, which lies in the space. Any thread; does not block.
rlay_Status rlay_space_key(const rlay_Space *space, size_t index, const rlay_Value **found);

// Bytes of an element in the packed form; RLAY_WRONG_KIND if the space has none, because it holds a Text, Sequence,
// Graph or OneOf, or big-endian arrays. Any thread; does not block.
rlay_Status rlay_space_packed_size(const rlay_Space *space,
                                   size_t *size);

// How many leaves the packed form of a space has; RLAY_WRONG_KIND if there is none. Any thread; does not block.
rlay_Status rlay_space_leaf_count(const rlay_Space *space,
                                  size_t *leaf_count);

// Leaf `index` of the packed form, in the order of Tuple members and Dict keys, which is that of the bytes. Any
// thread; does not block.
rlay_Status rlay_space_leaf(const rlay_Space *space,
                            size_t index,
                            rlay_Leaf *leaf);

// Bytes of the packed form of the elements of `num_envs` environments: a batch, the observations or actions of a
// vector agent. RLAY_WRONG_KIND if the space has none, RLAY_INVALID_ARGUMENT if there can be no such block. Any
// thread; does not block.
rlay_Status rlay_space_batch_size(const rlay_Space *space,
                                  uint32_t num_envs,
                                  size_t *size);

// Leaf `index` of the packed form of the elements of `num_envs` environments. `offset` is where its rows begin, which
// are those of the slots in their order, each of `size` bytes and without a gap. A Discrete has an int64_t for each
// slot, and behind all of these a byte for each slot: 1, a NumPy scalar of the space's dtype; 0, a Python int. Zeros
// follow up to a multiple of 8. Any thread; does not block.
rlay_Status rlay_space_batch_leaf(const rlay_Space *space,
                                  size_t index,
                                  uint32_t num_envs,
                                  rlay_Leaf *leaf);

// The smallest and the largest value of element `index`, in C order, of a Box, Discrete, MultiBinary or MultiDiscrete;
// infinite where it is unbounded. Numbers beyond 2^53 are rounded. Any thread; does not block.
rlay_Status rlay_space_range(const rlay_Space *space,
                             size_t index,
                             double *low,
                             double *high);

// Writes the space in Gymnasium's notation, for people: UTF-8 of *length bytes, without a NUL. RLAY_SHORT_BUFFER if
// that is above `capacity`. Any thread; does not block.
rlay_Status rlay_space_describe(const rlay_Space *space,
                                char *buffer,
                                size_t capacity,
                                size_t *length);

// A spec of one slot, with the metadata {"render_modes": []}. Takes both spaces; NULL with a last error if one is NULL or unfinished. Any thread;
// does not block.
rlay_Spec *rlay_spec_new(rlay_Space *observation_space,
                         rlay_Space *action_space);

// Sets the metadata, a dict as Gymnasium's Env.metadata: "render_modes" is a list of str, "render_fps" an int. Takes
// `metadata`. Any thread; does not block.
rlay_Status rlay_spec_set_metadata(rlay_Spec *spec,
                                   rlay_Value *metadata);

// Sets the details, a dict of what Gymnasium's EnvSpec says: "reward_threshold", "nondeterministic",
// "max_episode_steps". Takes `details`. Any thread; does not block.
rlay_Status rlay_spec_set_details(rlay_Spec *spec,
                                  rlay_Value *details);

// Sets the name of the environment: UTF-8 of `length` bytes, at most 1024, which are copied. Any thread; does not block.
rlay_Status rlay_spec_set_env_id(rlay_Spec *spec,
                                 const char *env_id,
                                 size_t length);

// Sets how many environments of this description a session has, which are stepped side by side: its slots, numbered from
// 0. From 1 to 65536. Any thread; does not block.
rlay_Status rlay_spec_set_slots(rlay_Spec *spec,
                                uint32_t slots);

// Frees a spec that is the caller's; NULL is allowed. Any thread; does not block.
void rlay_spec_free(rlay_Spec *spec);

// The space of observations, which lies in the spec. Any thread; does not block.
rlay_Status rlay_spec_observation_space(const rlay_Spec *spec, const rlay_Space **found);

// The space of actions, which lies in the spec. Any thread; does not block.
rlay_Status rlay_spec_action_space(const rlay_Spec *spec, const rlay_Space **found);

// The metadata, which lie in the spec. Any thread; does not block.
rlay_Status rlay_spec_metadata(const rlay_Spec *spec, const rlay_Value **found);

// The details, which lie in the spec. Any thread; does not block.
rlay_Status rlay_spec_details(const rlay_Spec *spec, const rlay_Value **found);

// How many attributes an agent may get, set and call (rlay_agent_attribute); 0 of NULL. Only of specs that an agent has.
// Any thread; does not block.
size_t rlay_spec_attribute_count(const rlay_Spec *spec);

// The name of attribute number `index`, counted from 0: UTF-8 of *length bytes without a NUL behind it, which lie in the
// spec. RLAY_NOT_FOUND if there is none. Any thread; does not block.
rlay_Status rlay_spec_attribute(const rlay_Spec *spec,
                                size_t index,
                                const char **name,
                                size_t *length);

// How many slots a session has; 0 of NULL. Any thread; does not block.
uint32_t rlay_spec_slots(const rlay_Spec *spec);

// Options with their defaults. The token is that of the environment variable RLAY_TOKEN, if it is set. Any thread; does not
// block.
rlay_Options *rlay_options_new(void);

// Frees options; NULL is allowed. Any thread; does not block.
void rlay_options_free(rlay_Options *options);

// A secret that the peer must prove to know: UTF-8 of `length` bytes, with at least eight visible characters. It is copied.
// NULL: no token, whatever RLAY_TOKEN says. Any thread; does not block.
rlay_Status rlay_options_set_token(rlay_Options *options,
                                   const char *token,
                                   size_t length);

// How long an agent looks for its environment. By default 10 seconds. An environment looks for agents as long as it takes.
// Any thread; does not block.
rlay_Status rlay_options_set_connect_timeout(rlay_Options *options,
                                             double seconds);

// How long a connection that was lost over a network may take to come back; 0: it never does. By default 2 seconds for an
// agent, 30 for an environment. Any thread; does not block.
rlay_Status rlay_options_set_reconnect_timeout(rlay_Options *options,
                                               double seconds);

// Within how long a peer that has vanished without a word is noticed, from a second to a day. By default 18 seconds. Any
// thread; does not block.
rlay_Status rlay_options_set_liveness(rlay_Options *options,
                                      double seconds);

// The longest frame in bytes, from 65536 on; an observation and its info must fit one. By default 64 MiB. Any thread; does
// not block.
rlay_Status rlay_options_set_max_frame(rlay_Options *options,
                                       size_t bytes);

// How many agents an environment may have at a time, each with a session of its own: from 1, the default, to 65536. With
// one, rlay_env_wait and rlay_env_run wake up at once for each request; with more they look a thousand times a second
// while nothing is asked. Any thread; does not block.
rlay_Status rlay_options_set_max_sessions(rlay_Options *options,
                                          uint32_t count);

// Lets agents get, set and call an attribute of this name: UTF-8 of `length` bytes, which are copied. Turns of kind
// RLAY_TURN_ATTRIBUTE are about these alone. Any thread; does not block.
rlay_Status rlay_options_add_attribute(rlay_Options *options,
                                       const char *name,
                                       size_t length);

// Takes the log: agents that come and go, connections that are lost, waits that last. `user` is passed on. NULL: there is
// none, as by default. Any thread; does not block.
rlay_Status rlay_options_set_log(rlay_Options *options,
                                 rlay_Log log,
                                 void *user);

// Agents: the longest that a reset, step or render may take, after which it fails with RLAY_TIMEOUT; an infinity, the
// default: as long as the environment lives. Any thread; does not block.
rlay_Status rlay_options_set_timeout(rlay_Options *options,
                                     double seconds);

// Vector agents: how many environments there are to be, up to 65536. 0, the default: those that the host has, or where the
// agent listens, one. Any thread; does not block.
rlay_Status rlay_options_set_num_envs(rlay_Options *options,
                                      uint32_t num_envs);

// Vector agents: which side begins the next episode where one has ended, an rlay_AutoresetMode. By default
// RLAY_AUTORESET_NEXT_STEP, as in Gymnasium. Any thread; does not block.
rlay_Status rlay_options_set_autoreset_mode(rlay_Options *options,
                                            uint32_t mode);

// Agents: the render mode that is asked for, UTF-8 of `length` bytes, which are copied. Any thread; does not block.
rlay_Status rlay_options_set_render_mode(rlay_Options *options,
                                         const char *mode,
                                         size_t length);

// Agents: the name of the environment that is asked for, UTF-8 of `length` bytes, which are copied. Any thread; does not
// block.
rlay_Status rlay_options_set_env_id(rlay_Options *options,
                                    const char *env_id,
                                    size_t length);

// Agents: the keyword arguments of the environment, a dict with str as keys, which is copied. Any thread; does not block.
rlay_Status rlay_options_set_kwargs(rlay_Options *options,
                                    const rlay_Value *kwargs);

// Opens an environment that listens at `address`, UTF-8 of `length` bytes such as "tcp://127.0.0.1:5005" or "shm://arena",
// for agents (rlay.ClientEnv in Python). rlay_env_address says with which port, where 0 was asked for. `spec` describes the
// environment that each agent has; NULL: the program answers turns of kind RLAY_TURN_MAKE. `options` may be NULL for the
// defaults. All three are copied. On success *env is a handle, to be closed with rlay_env_close; otherwise NULL.
//
// Any thread, to which the environment then belongs. It does not block but for looking up a name in the address.
rlay_Status rlay_env_listen(const char *address,
                            size_t length,
                            const rlay_Spec *spec,
                            const rlay_Options *options,
                            rlay_Env **env);

// Opens an environment that dials agents (rlay.ServerEnv in Python) at `address`. The rest is as with rlay_env_listen. It
// goes on dialing for as long as no agent listens there, and again after each session.
//
// Any thread, to which the environment then belongs. It does not block: the address is dialed while the environment is
// polled, on a thread of RLay.
rlay_Status rlay_env_dial(const char *address,
                          size_t length,
                          const rlay_Spec *spec,
                          const rlay_Options *options,
                          rlay_Env **env);

// The address at which an environment listens, with its real port, or that it dials: UTF-8 of *length bytes without a NUL
// behind it, which are RLay's and valid until rlay_env_close. The thread of `env`; does not block.
rlay_Status rlay_env_address(const rlay_Env *env,
                             const char **address,
                             size_t *length);

// Asks what an agent wants now, once a frame: *turn says, and is RLAY_TURN_NONE if nothing. Each turn but RLAY_TURN_CLOSE is
// to be answered, if not at once, then in a later frame. Several slots and sessions may wait for answers at a time, in any
// order; RLAY_USAGE if all there are do. *turn is written whenever it is not NULL.
//
// Other errors concern one session or dialing, such as RLAY_UNAUTHORIZED where a listener has refused the token: the
// environment stays open, and a later poll tries again. RLAY_CLOSED after rlay_env_stop, and where an agent that launched
// this program wants no other environment.
//
// The thread of `env`. It does not block; only an answer whose connection was lost is sent again first, which takes as long
// as the network does. Once it is warm, a poll that brings nothing or a packed action of one slot allocates nothing.
rlay_Status rlay_env_poll(rlay_Env *env,
                          rlay_Turn *turn);

// The same, but waits for at most so many seconds for a turn; an infinity is allowed. For loops that have nothing else to
// do. The thread of `env`; rlay_env_stop ends the wait.
rlay_Status rlay_env_wait(rlay_Env *env,
                          double seconds,
                          rlay_Turn *turn);

// The action of a turn of kind RLAY_TURN_STEP, where it is an int or a NumPy scalar of an integer type, as those of a
// Discrete are; RLAY_WRONG_KIND if it is anything else. It may lie outside the space. The thread of `env`; does not block,
// and allocates nothing where the action is packed.
rlay_Status rlay_env_action_int(rlay_Env *env,
                                const rlay_Turn *turn,
                                int64_t *action);

// The action of a turn of kind RLAY_TURN_STEP as a value, exactly as the agent gave it, packed or not. The value is the
// environment's and valid until the turn is answered. The thread of `env`; does not block.
rlay_Status rlay_env_action_value(rlay_Env *env,
                                  const rlay_Turn *turn,
                                  const rlay_Value **action);

// Ends rlay_env_wait and rlay_env_run, now or whenever they are called next, with RLAY_CLOSED or, of rlay_env_run, success.
// Any thread, but no signal handler; does not block.
rlay_Status rlay_env_stop(rlay_Env *env);

// Closes an environment: agents are told, within half a second for each, and the address is free. The handle must not be
// used any more; if it is, that fails with RLAY_CLOSED. The thread of `env`; also from a callback of rlay_env_run, which
// then ends.
rlay_Status rlay_env_close(rlay_Env *env);

// Answers a reset or step. `turn` and `result` are read during the call. If this fails with RLAY_SHORT_BUFFER,
// RLAY_WRONG_KIND, RLAY_NULL_ARGUMENT or RLAY_ENV, the turn is still to be answered; after any other error it is not, and
// the agent learns of the error.
//
// The thread of `env`. It blocks only while the agent does not take the answer in, for at most 5 s, after which it fails
// with RLAY_TIMEOUT and has ended the session. Without an info it allocates nothing once it is warm.
rlay_Status rlay_env_reply(rlay_Env *env,
                           const rlay_Turn *turn,
                           const rlay_Result *result);

// Answers a turn of kind RLAY_TURN_MAKE with an environment of this description, which is copied. If the agent cannot have
// it, because it lacks the render mode that was asked for or has another number of slots, this fails with RLAY_USAGE, and
// the agent is told so. The thread of `env`; blocks as rlay_env_reply does.
rlay_Status rlay_env_reply_make(rlay_Env *env,
                                const rlay_Turn *turn,
                                const rlay_Spec *spec);

// Answers a render. Takes `frame`, which may be NULL for None, whether it succeeds or not. The thread of `env`; blocks as
// rlay_env_reply does.
rlay_Status rlay_env_reply_frame(rlay_Env *env,
                                 const rlay_Turn *turn,
                                 rlay_Value *frame);

// Answers a turn about an attribute, see rlay_Access. Takes `value`, whether it succeeds or not; NULL in answer to RLAY_GET
// says that the attribute is a function, and is None otherwise. The thread of `env`; blocks as rlay_env_reply does.
rlay_Status rlay_env_reply_attribute(rlay_Env *env,
                                     const rlay_Turn *turn,
                                     rlay_Value *value);

// Answers any turn but RLAY_TURN_CLOSE with an error, which the agent's call raises. `code` is RLAY_ENV for an error of the
// environment, whose class in Python is `error_type` ("ValueError"); or RLAY_USAGE, RLAY_INVALID_ACTION and the like, for
// which `error_type` does not count. Both texts are UTF-8 and are copied. The thread of `env`; blocks as rlay_env_reply
// does.
rlay_Status rlay_env_reply_error(rlay_Env *env,
                                 const rlay_Turn *turn,
                                 int32_t code,
                                 const char *error_type,
                                 size_t error_type_length,
                                 const char *message,
                                 size_t message_length);

// Says why the callback that is under way is going to fail: the class of the error in Python, such as "ValueError", and its
// text, both UTF-8, which are copied. The thread of rlay_env_run; does not block.
rlay_Status rlay_fail(const char *error_type,
                      size_t error_type_length,
                      const char *message,
                      size_t message_length);

// Hosts an environment with callbacks until rlay_env_stop or rlay_env_close, or until the agent that launched this program
// wants no other environment: RLAY_OK. Another error of rlay_env_poll ends it, too, and is returned; it may be called again.
// `callbacks` is read during the call. The thread of `env`; blocks until then.
rlay_Status rlay_env_run(rlay_Env *env,
                         const rlay_Callbacks *callbacks);

// Dials the environment that listens at `address` (UTF-8 of `length` bytes), and has it made. `options` may be NULL
// for the defaults; both are copied. On success *agent is a handle, to be closed with rlay_agent_close; otherwise
// NULL.
//
// Any thread, to which the agent then belongs. Blocks until the environment is made, at most for the connect timeout.
rlay_Status rlay_agent_connect(const char *address,
                               size_t length,
                               const rlay_Options *options,
                               rlay_Agent **agent);

// Listens at `address` for the environment, which dials in (rlay_env_dial). The rest is as with rlay_agent_connect.
// rlay_agent_address says with which port, where 0 was asked for. The first call that needs the environment waits for
// it, at most for the connect timeout.
//
// Any thread, to which the agent then belongs. It does not block but for looking up a name in the address.
rlay_Status rlay_agent_listen(const char *address,
                              size_t length,
                              const rlay_Options *options,
                              rlay_Agent **agent);

// The address at which an agent listens, with its real port, or that it has dialed: UTF-8 of *length bytes without a
// NUL behind it, which are RLay's and valid until rlay_agent_close. The thread of `agent`; does not block.
rlay_Status rlay_agent_address(const rlay_Agent *agent,
                               const char **address,
                               size_t *length);

// What the environment says of itself. *found lies in the agent, and is valid until its next reset or
// rlay_agent_close. The thread of `agent`; blocks only where the agent listens and no environment has dialed in yet.
rlay_Status rlay_agent_spec(rlay_Agent *agent,
                            const rlay_Spec **found);

// Gymnasium's reset. `seed` points to the seed, or is NULL for none; `options` is a dict or NULL for None. Both are
// read during the call. *first says what came of it. The thread of `agent`; blocks until the environment answers, at
// most for the timeout of the options; rlay_agent_stop ends it.
rlay_Status rlay_agent_reset(rlay_Agent *agent,
                             const uint64_t *seed,
                             const rlay_Value *options,
                             rlay_Step *first);

// Gymnasium's step. `action` has `length` bytes, the action in the packed form, as rlay_space_leaf says of the action
// space: an rlay_Discrete for a Discrete, an array for a Box. It is read during the call. *next says what came of it.
// The thread of `agent`; blocks as rlay_agent_reset does. After RLAY_TIMEOUT only two calls go on: rlay_agent_late,
// which fetches the late answer, and a reset, which drops it. Once it is warm, a step whose action and observation are
// packed and whose info is empty allocates nothing.
rlay_Status rlay_agent_step(rlay_Agent *agent,
                            const void *action,
                            size_t length,
                            rlay_Step *next);

// The same with an action as a value, for any space; it is read during the call. The thread of `agent`; blocks as
// rlay_agent_reset does.
rlay_Status rlay_agent_step_value(rlay_Agent *agent,
                                  const rlay_Value *action,
                                  rlay_Step *next);

// The observation of the last reset or step as a value, packed or not. It is the agent's, and valid until the next
// reset or step. The thread of `agent`; does not block.
rlay_Status rlay_agent_observation_value(rlay_Agent *agent,
                                         const rlay_Value **observation);

// Gymnasium's render. *frame is the agent's, and valid until the next render or attribute. The thread of `agent`;
// blocks as rlay_agent_reset does.
rlay_Status rlay_agent_render(rlay_Agent *agent,
                              const rlay_Value **frame);

// Gets, sets or calls an attribute of the environment, as Gymnasium's get_wrapper_attr and set_wrapper_attr do: `name` is
// UTF-8 of `length` bytes, one of those that the spec lists (rlay_spec_attribute). `access` is an rlay_Access. `value` is
// what it is set to, or the list or tuple of a call's arguments; `kwargs` is the dict of a call's keyword arguments. They
// are NULL where there is nothing to give, and read during the call. *found is what the call returned or the attribute
// is, None after it was set, and NULL for RLAY_GET of a function. It is the agent's, and valid until the next render or
// attribute.
//
// RLAY_USAGE if the environment does not offer the attribute, RLAY_ENV if it has none of this name. The thread of
// `agent`; blocks as rlay_agent_reset does.
rlay_Status rlay_agent_attribute(rlay_Agent *agent,
                                 const char *name,
                                 size_t length,
                                 uint32_t access,
                                 const rlay_Value *value,
                                 const rlay_Value *kwargs,
                                 const rlay_Value **found);

// The answer to a call that failed with RLAY_TIMEOUT: it is late, and no other call than a reset goes on before it is
// here. *kind says which call that was: RLAY_TURN_RESET and RLAY_TURN_STEP, of which *next says what came, or
// RLAY_TURN_RENDER and RLAY_TURN_ATTRIBUTE, of which *value is the frame, or what came of it, as after rlay_agent_render
// and rlay_agent_attribute. The other is not written. Each of the two may be NULL. RLAY_USAGE if no answer is late,
// RLAY_TIMEOUT if it does not come within the timeout of the options: it is late still. The thread of `agent`; blocks as
// rlay_agent_reset does.
rlay_Status rlay_agent_late(rlay_Agent *agent,
                            rlay_TurnKind *kind,
                            rlay_Step *next,
                            const rlay_Value **value);

// Ends a call of the agent that is under way, and all later ones, with RLAY_CLOSED. Any thread, but no signal handler;
// does not block.
rlay_Status rlay_agent_stop(rlay_Agent *agent);

// Closes the environment and the agent. The handle must not be used any more; if it is, that fails with RLAY_CLOSED.
// An error says that the environment's own close failed; the agent is closed all the same. The thread of `agent`;
// blocks until the environment is closed, for a few seconds at most.
rlay_Status rlay_agent_close(rlay_Agent *agent);

// Dials the host that listens at `address` (UTF-8 of `length` bytes), and has it make as many environments as
// rlay_options_set_num_envs says. `options` may be NULL for the defaults; both are copied. On success *agent is a
// handle, to be closed with rlay_vector_agent_close; otherwise NULL.
//
// Any thread, to which the agent then belongs. Blocks until the environments are made, at most for the connect
// timeout.
rlay_Status rlay_vector_agent_connect(const char *address,
                                      size_t length,
                                      const rlay_Options *options,
                                      rlay_VectorAgent **agent);

// Listens at `address` for environments, which dial in (rlay_env_dial), as many as rlay_options_set_num_envs says. The
// rest is as with rlay_vector_agent_connect. rlay_vector_agent_address says with which port, where 0 was asked for.
// The first call that needs the environments waits for them, at most for the connect timeout.
//
// Any thread, to which the agent then belongs. It does not block but for looking up a name in the address.
rlay_Status rlay_vector_agent_listen(const char *address,
                                     size_t length,
                                     const rlay_Options *options,
                                     rlay_VectorAgent **agent);

// The address at which a vector agent listens, with its real port, or that it has dialed: UTF-8 of *length bytes
// without a NUL behind it, which are RLay's and valid until rlay_vector_agent_close. The thread of `agent`; does not
// block.
rlay_Status rlay_vector_agent_address(const rlay_VectorAgent *agent,
                                      const char **address,
                                      size_t *length);

// What the environments say of themselves; rlay_spec_slots of it is how many there are, and its spaces are those of
// one environment. *found lies in the agent, and is valid until rlay_vector_agent_close. The thread of `agent`; blocks
// only where the agent listens and not all environments have dialed in yet.
rlay_Status rlay_vector_agent_spec(rlay_VectorAgent *agent,
                                   const rlay_Spec **found);

// Gymnasium's reset. `seed` points to the seed of slot 0, to which each further slot adds its number, or is NULL for
// none. `mask` has `num_envs` bytes, of which those that are not 0 say which slots are reset, Gymnasium's reset_mask;
// NULL for all. `options` is a dict or NULL for None. All three are read during the call. *first says what came of it:
// slots that were not reset are as they were. The thread of `agent`; blocks until all environments answer, at most for
// the timeout of the options; rlay_vector_agent_stop ends it.
rlay_Status rlay_vector_agent_reset(rlay_VectorAgent *agent,
                                    const uint64_t *seed,
                                    const uint8_t *mask,
                                    size_t mask_length,
                                    const rlay_Value *options,
                                    rlay_VectorStep *first);

// Gymnasium's step of all slots. `actions` has `length` bytes, one block with the actions of all slots in the packed
// form, as rlay_space_batch_leaf says of the action space: for a Box the arrays one after another; for a Discrete an
// int64_t for each slot, and then a byte for each, which says whether that is a NumPy scalar. It is read during the
// call, but for the bytes between leaves. *next says what came of it.
//
// If it fails in one slot, the error says in which, and the others have taken their steps all the same. The thread of
// `agent`; blocks as rlay_vector_agent_reset does. After RLAY_TIMEOUT only two calls go on: rlay_vector_agent_late,
// which fetches the late answers, and a reset, which drops them. Once it is warm, a step whose actions and
// observations are packed, whose infos are empty and in which no episode ends allocates nothing.
rlay_Status rlay_vector_agent_step(rlay_VectorAgent *agent,
                                   const void *actions,
                                   size_t length,
                                   rlay_VectorStep *next);

// The same with actions as values, for any space: a list or tuple of one for each slot, which is read during the call.
// The thread of `agent`; blocks as rlay_vector_agent_reset does.
rlay_Status rlay_vector_agent_step_value(rlay_VectorAgent *agent,
                                         const rlay_Value *actions,
                                         rlay_VectorStep *next);

// Gymnasium's render of all slots. *frames is a list with the frame of each slot. It is the agent's, and valid until the
// next render or attribute. The thread of `agent`; blocks as rlay_vector_agent_reset does.
rlay_Status rlay_vector_agent_render(rlay_VectorAgent *agent,
                                     const rlay_Value **frames);

// Gets, sets or calls an attribute of all environments, as Gymnasium's get_attr, set_attr and call do. The rest is as with
// rlay_agent_attribute, but that RLAY_SET takes a list or tuple of one value for each slot, and that *found is a list
// with what came of it in each slot; NULL for RLAY_GET of a function. The thread of `agent`; blocks as
// rlay_vector_agent_reset does.
rlay_Status rlay_vector_agent_attribute(rlay_VectorAgent *agent,
                                        const char *name,
                                        size_t length,
                                        uint32_t access,
                                        const rlay_Value *value,
                                        const rlay_Value *kwargs,
                                        const rlay_Value **found);

// The answer to a call that failed with RLAY_TIMEOUT: it is late, and no other call than a reset goes on before it is
// here. *kind says which call that was: RLAY_TURN_RESET and RLAY_TURN_STEP, of which *next says what came, or
// RLAY_TURN_RENDER and RLAY_TURN_ATTRIBUTE, of which *value is what rlay_vector_agent_render and
// rlay_vector_agent_attribute give. The other is not written. Each of the two may be NULL. RLAY_USAGE if no answer is
// late, RLAY_TIMEOUT if not all of it comes within the timeout of the options: it is late still. The thread of `agent`;
// blocks as rlay_vector_agent_reset does.
rlay_Status rlay_vector_agent_late(rlay_VectorAgent *agent,
                                   rlay_TurnKind *kind,
                                   rlay_VectorStep *next,
                                   const rlay_Value **value);

// The info that the last reset or step brought of a slot, a dict, which is empty where it brought none. It is the
// agent's, and valid until its next reset or step. The thread of `agent`; does not block.
rlay_Status rlay_vector_agent_info(rlay_VectorAgent *agent,
                                   uint32_t slot,
                                   const rlay_Value **info);

// The end number `index`, counted from 0, of the rlay_VectorStep's final_count episodes, in the order of their slots;
// RLAY_NOT_FOUND if there is none. The thread of `agent`; does not block.
rlay_Status rlay_vector_agent_final(rlay_VectorAgent *agent,
                                    uint32_t index,
                                    rlay_Final *found);

// The last observation of a slot as a value, packed or not. It is the agent's, and valid until its next reset or step.
// The thread of `agent`; does not block.
rlay_Status rlay_vector_agent_observation_value(rlay_VectorAgent *agent,
                                                uint32_t slot,
                                                const rlay_Value **observation);

// Ends a call of the agent that is under way, and all later ones, with RLAY_CLOSED. Any thread, but no signal handler;
// does not block.
rlay_Status rlay_vector_agent_stop(rlay_VectorAgent *agent);

// Closes the environments and the agent. The handle must not be used any more; if it is, that fails with RLAY_CLOSED.
// An error says that the close of an environment failed; the agent is closed all the same. The thread of `agent`;
// blocks until the environments are closed, for a few seconds at most.
rlay_Status rlay_vector_agent_close(rlay_VectorAgent *agent);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RLAY_H */
