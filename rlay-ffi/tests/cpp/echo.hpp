/// \file
/// Echo, the second environment of sdk/tests/GAME.md: a space of every class, and the zero of each.
#ifndef ECHO_HPP
#define ECHO_HPP

#include <rlay_ffi.hpp>

#include <limits>

constexpr std::int64_t echo_cases = 18;

inline rlay::ffi::Space echo_space(std::int64_t which) {
  using rlay::ffi::Space;
  constexpr double inf = std::numeric_limits<double>::infinity();
  constexpr float inf32 = std::numeric_limits<float>::infinity();
  switch (which) {
    case 0: return Space::box<float>(-1, 1, {2, 3});
    case 1: return Space::box<std::uint8_t>(0, 255, {4, 5, 3});
    case 2: return Space::box<double>(-inf, inf, {});
    case 3: return Space::discrete(5, -2);
    case 4: return Space::multi_binary_of({2, 3});
    case 5: return Space::multi_discrete({3, 5, 2}, {0, -1, 7});
    case 6: return Space::text(12, 1, "a\u00e9\u6f22\U0001f3b2 b");
    case 7: return Space::tuple(Space::discrete(3), Space::box<double>(0, 1, {2}));
    case 8:
      return Space::dict()
          .set("a", Space::discrete(2))
          .set("b", Space::tuple(Space::multi_binary(3), Space::text(4)));
    case 9: return Space::sequence(Space::box<float>(0, 1, {2}));
    case 10: return Space::sequence(Space::discrete(4), true);
    case 11: return Space::graph(Space::box<float>(-1, 1, {3}), Space::discrete(4));
    case 12: return Space::one_of(Space::discrete(3), Space::box<float>(-1, 1, {2}));
    case 13: return Space::box(RLAY_FLOAT16, -1, 1, {3});
    case 14: return Space::box<bool>(0, 1, {2});
    case 15: return Space::box<std::int64_t>(-9223372036854775808.0, 9223372036854775808.0, {2});
    case 16: return Space::box_each<float>({-1, -inf32}, {1, 5}, {2});
    default: return Space::graph(Space::box<double>(-1, 1, {2}));
  }
}

template <class T>
rlay::ffi::Value zeros(const rlay::ffi::Shape& shape, std::size_t count) {
  return rlay::ffi::Value::array<T>(shape, std::vector<T>(count));
}

inline rlay::ffi::Value echo_zero(std::int64_t which) {
  using rlay::ffi::Value;
  constexpr std::uint8_t none[6] = {};
  switch (which) {
    case 0: return zeros<float>({2, 3}, 6);
    case 1: return zeros<std::uint8_t>({4, 5, 3}, 60);
    case 2: return zeros<double>({}, 1);
    case 3: return -2;
    case 4: return zeros<std::int8_t>({2, 3}, 6);
    case 5: return Value::array<std::int64_t>({3}, {0, -1, 7});
    case 6: return "a";
    case 7: return Value::tuple(0, zeros<double>({2}, 2));
    case 8: return Value::dict().set("a", 0).set("b", Value::tuple(zeros<std::int8_t>({3}, 3), "0"));
    case 9: return Value::tuple();
    case 10: return zeros<std::int64_t>({0}, 0);
    case 11: return Value::graph(zeros<float>({1, 3}, 3));
    case 12: return Value::tuple(Value::scalar<std::int64_t>(0), 0);
    case 13: return Value::array(RLAY_FLOAT16, {3}, none, 6);
    case 14: return Value::array(RLAY_BOOL, {2}, none, 2);
    case 15: return zeros<std::int64_t>({2}, 2);
    case 16: return zeros<float>({2}, 2);
    default: return Value::graph(zeros<double>({1, 2}, 2));
  }
}

#endif
