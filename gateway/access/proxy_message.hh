// What a proxy's client says before its bytes flow: SOCKS5 (RFC 1928, RFC 1929) and HTTP CONNECT (RFC 9110 §9.3.6).
// Each parser is total and looks at bytes from the start: Need more, Bad, or Good with how many it took.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qanat::access {

inline constexpr std::size_t kMaxHeadBytes = 8192;  // of a CONNECT request

enum class Read : std::uint8_t { Good, Need, Bad };

struct SocksGreeting {
  bool none = false, password = false;  // the methods offered
};
Read parse_greeting(std::string_view bytes, std::size_t& used, SocksGreeting& out);

struct SocksPassword {
  std::string user, password;
};
Read parse_password(std::string_view bytes, std::size_t& used, SocksPassword& out);

// A place as the client writes it: a name, or an address as text.
struct Target {
  std::string host;
  std::uint16_t port = 0;
};
enum class SocksCommand : std::uint8_t { Connect = 1, Bind = 2, UdpAssociate = 3 };
struct SocksRequest {
  SocksCommand command{};
  Target target;
};
Read parse_request(std::string_view bytes, std::size_t& used, SocksRequest& out);

// The head of a datagram of an association; what follows `used` is payload. Fragments (FRAG ≠ 0) are Bad.
Read parse_datagram(std::string_view bytes, std::size_t& used, Target& out);
// VER or RSV, then the address in its shortest type: "127.0.0.1", "::1" and names.
void append_target(std::string& out, const Target& target);

// RFC 1928 §6.
enum class SocksReply : std::uint8_t {
  Succeeded = 0,
  GeneralFailure = 1,
  NotAllowed = 2,
  HostUnreachable = 4,
  ConnectionRefused = 5,
  CommandNotSupported = 7,
};
std::string socks_reply(SocksReply reply, const Target& bound);

struct ConnectRequest {
  std::string target;                 // "web.qanat:80", or a C-URL
  std::optional<std::string> secret;  // of Proxy-Authorization: the bearer token, or a Basic password
};
Read parse_connect(std::string_view bytes, std::size_t& used, ConnectRequest& out);
// "web.qanat:80", "[::1]:80".
std::optional<Target> split_target(std::string_view text);

}  // namespace qanat::access
