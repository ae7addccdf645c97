// What strangers send to DNS and proxies: total on any bytes. The first byte picks the parser.
#include <cstdint>
#include <cstdlib>

#include "gateway/access/dns/responder.hh"
#include "gateway/access/proxy_message.hh"

namespace {

using namespace qanat;

void answer_dns(std::string_view bytes, dns::Over over) {
  static const dns::Zone zone("qanat",
                              {{*c_url::CUrl::parse("c-url://gz.cn/infer/m"), 80, {100, 64, 0, 1}, {0xfd}},
                               {*c_url::CUrl::parse("c-url://any/wiki"), 81, {100, 64, 0, 2}, {0xfd}}},
                              1);
  std::string answer;
  const dns::Outcome outcome = dns::respond(zone, bytes, over, answer);
  if (dns::dropped(outcome) != answer.empty()) std::abort();
  if (over == dns::Over::Udp && answer.size() > dns::kEdnsUdpBytes) std::abort();
  if (!answer.empty() && answer.substr(0, 2) != bytes.substr(0, 2)) std::abort();
}

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
  switch (data[0] % 8) {
    case 0: read(access::parse_greeting, bytes); break;
    case 1: read(access::parse_password, bytes); break;
    case 2: read(access::parse_request, bytes); break;
    case 3: read(access::parse_datagram, bytes); break;
    case 4: read(access::parse_connect, bytes); break;
    case 5: answer_dns(bytes, dns::Over::Tcp); break;
    default: answer_dns(bytes, dns::Over::Udp); break;
  }
  return 0;
}
