// Any bytes: parse is total; what it accepts is valid and survives serialize.
#include <cstdlib>

#include "identifiers/descriptor/descriptor.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat::descriptor;
  const auto first = parse({reinterpret_cast<const char*>(data), size});
  if (!first.has_value()) {
    if (to_string(first.error()).empty()) std::abort();
    return 0;
  }
  const auto second = parse(serialize(*first));
  if (!second.has_value() || !(*second == *first)) std::abort();
  return 0;
}
