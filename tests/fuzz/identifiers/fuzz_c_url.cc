// C-URLs: total on any bytes; what is accepted has one canonical form, as text and in binary.
#include <cstdint>
#include <cstdlib>

#include "identifiers/c_url/binary.hh"
#include "identifiers/c_url/c_url.hh"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace qanat::c_url;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (auto decoded = decode(bytes)) {
    auto parsed = CUrl::parse(to_string(*decoded));
    if (!parsed || *parsed != *decoded || encode(*decoded) != bytes) std::abort();
  }
  auto url = CUrl::parse(bytes);
  if (!url) return url.error().offset <= size ? 0 : (std::abort(), 0);
  auto again = CUrl::parse(to_string(*url));
  if (!again || !(*again == *url)) std::abort();
  auto decoded = decode(encode(*url));
  if (!decoded || !(*decoded == *url)) std::abort();
  return 0;
}
