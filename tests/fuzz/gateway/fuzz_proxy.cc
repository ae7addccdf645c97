// What strangers send to proxies: total on any bytes. The first byte picks the parser.
#include <cstdint>
#include <cstdlib>

#include "gateway/access/proxy_message.hh"

namespace {

using namespace qanat;

template <class Message>
void read(access::Read (*parse)(std::string_view, std::size_t&, Message&), std::string_view bytes) {
  std::size_t used = 0;
  Message out{};
  if (parse(bytes, used, out) == access::Read::Good && used > bytes.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0: read(access::parse_greeting, bytes); break;
    case 1: read(access::parse_password, bytes); break;
    case 2: read(access::parse_request, bytes); break;
    case 3: read(access::parse_datagram, bytes); break;
    default: read(access::parse_connect, bytes); break;
  }
  return 0;
}
