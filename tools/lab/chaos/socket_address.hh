// An IPv4 socket address from text: where a lab's hosts are.
// The text comes from the lab's own state, so it is one.
#pragma once

#include <arpa/inet.h>

#include <cstdint>
#include <string>

namespace qanat::chaos {

inline sockaddr_in socket_address(const std::string& text, int port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(static_cast<std::uint16_t>(port));
  inet_pton(AF_INET, text.c_str(), &out.sin_addr);
  return out;
}

}  // namespace qanat::chaos
