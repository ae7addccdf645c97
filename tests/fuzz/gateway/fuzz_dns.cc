// What strangers send to DNS: any bytes have an answer that fits, or none. The first byte says over what they came.
#include <cstdint>
#include <cstdlib>

#include "gateway/access/dns/responder.hh"

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  answer_dns(bytes, data[0] % 2 == 0 ? dns::Over::Udp : dns::Over::Tcp);
  return 0;
}
