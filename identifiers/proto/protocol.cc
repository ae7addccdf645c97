#include "identifiers/proto/protocol.hh"

#include <algorithm>

#include "identifiers/proto/southbound.pb.h"

namespace qanat::proto {
namespace {

constexpr std::size_t kMostSoftware = 64;

std::string text_of(Understood understood) {
  return understood.oldest == understood.newest
             ? "protocol " + std::to_string(understood.newest)
             : "protocols " + std::to_string(understood.oldest) + " to " + std::to_string(understood.newest);
}

// What the other side calls itself goes into logs: printable, and not much of it.
std::string software_of(const v1::Hello& hello) {
  std::string out = hello.software().substr(0, kMostSoftware);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return out.empty() ? "" : " (" + out + ")";
}

}  // namespace

std::optional<std::string> protocol_problem(const v1::Hello& hello, Understood understood) {
  const std::uint32_t spoken = hello.protocol();
  if (spoken >= understood.oldest && spoken <= understood.newest) return std::nullopt;
  const std::string here = "this controller understands " + text_of(understood) + ", ";
  if (spoken == 0) return here + "the Hello" + software_of(hello) + " names none";
  return here + "not " + std::to_string(spoken) + software_of(hello) +
         (spoken > understood.newest ? ": upgrade this controller, it is older than its member"
                                     : ": upgrade the member, one release at a time");
}

}  // namespace qanat::proto
