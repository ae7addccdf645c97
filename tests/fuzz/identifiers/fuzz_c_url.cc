// C-URLs: total on any bytes; what is accepted has one canonical form.
#include <cstdint>
#include <cstdlib>

#include "identifiers/c_url/c_url.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat::c_url;
  auto url = CUrl::parse({reinterpret_cast<const char*>(data), size});
  if (!url) return url.error().offset <= size ? 0 : (std::abort(), 0);
  auto again = CUrl::parse(to_string(*url));
  if (!again || !(*again == *url)) std::abort();
  return 0;
}
