// Compiles the headers behind macros that engines and systems define: those of windows.h and of Unreal.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#ifndef _WIN32
#include <netdb.h>
#endif

#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define small char
#define near
#define far
#define hyper long
#define interface struct
#define IN
#define OUT
#define ERROR 0
#define check(condition) ((condition) ? void() : std::abort())
#define verify(condition) check(condition)
#define ensure(condition) (condition)
#define TEXT(text) L##text
#define PI 3.14159F

#include "rlay/rlay.hpp"
