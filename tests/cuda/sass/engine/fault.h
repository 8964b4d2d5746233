// What goes wrong in a kernel, and what this engine cannot do.
#pragma once

#include <stdexcept>
#include <string>

namespace sass {

// A kernel's mistake: an access out of bounds, a race, a barrier that is never reached.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Something the engine does not implement.
struct Unknown : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace sass
