// Result<T>: the outcome of an operation that the world outside may fail. (std::expected is C++23.)
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "decree/check.h"

namespace decree {

enum class ErrorCode : unsigned char {
  io,          // the operating system said no; the message names the call and the file
  no_space,    // disk full
  corrupt,     // bytes are not what was written; the message names file and offset
  format,      // a newer or foreign format
  identity,    // data of another cluster or member
  permission,  // missing rights
  locked,      // another process holds it
  not_found,
  invalid,      // bad input from outside
  unavailable,  // try again later
  too_large,
};

// `message` is a sentence for a person that says what to do next.
struct Error {
  ErrorCode code = ErrorCode::io;
  std::string message;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value)  // NOLINT(google-explicit-constructor)
      : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error)  // NOLINT(google-explicit-constructor)
      : state_(std::in_place_index<1>, std::move(error)) {}
  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() & {
    DECREE_CHECK(ok(), "Result holds an error");
    return std::get<0>(state_);
  }
  const T& value() const& {
    DECREE_CHECK(ok(), "Result holds an error");
    return std::get<0>(state_);
  }
  T&& value() && {
    DECREE_CHECK(ok(), "Result holds an error");
    return std::get<0>(std::move(state_));
  }
  T* operator->() { return &value(); }
  T& operator*() & { return value(); }
  const Error& error() const {
    DECREE_CHECK(!ok(), "Result holds a value");
    return std::get<1>(state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}  // NOLINT(google-explicit-constructor)
  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  const Error& error() const {
    DECREE_CHECK(!ok_, "Result holds a value");
    return error_;
  }

 private:
  Error error_;
  bool ok_ = true;
};

}  // namespace decree
