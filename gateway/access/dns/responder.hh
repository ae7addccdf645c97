// respond: a query's bytes in, an answer's bytes out. All of the name server that is not a socket.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/access/dns/zone.hh"

namespace qanat::dns {

enum class Outcome : std::uint8_t {
  Answered,
  NoData,  // the name is there, not with this type
  NxDomain,
  FormErr,
  NotImp,
  Refused,  // not our zone, or not the Internet's class
  BadVers,
  Truncated,   // answered with TC: ask again over TCP
  TooShort,    // dropped: less than a header
  IsResponse,  // dropped
};
inline constexpr std::size_t kOutcomes = 10;
std::string_view to_string(Outcome outcome);
constexpr bool dropped(Outcome outcome) { return outcome >= Outcome::TooShort; }

enum class Over : std::uint8_t { Udp, Tcp };

// Writes the answer into `out`, empty when the query is dropped. noexcept but for memory.
Outcome respond(const Zone& zone, std::string_view query, Over transport, std::string& out);

}  // namespace qanat::dns
