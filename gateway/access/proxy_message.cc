#include "gateway/access/proxy_message.hh"

#include <arpa/inet.h>

#include <array>
#include <charconv>

namespace qanat::access {
namespace {

constexpr unsigned char kSocks = 5;
enum AddressType : unsigned char { kIpv4 = 1, kName = 3, kIpv6 = 4 };

unsigned char byte(std::string_view bytes, std::size_t at) { return static_cast<unsigned char>(bytes[at]); }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool same(std::string_view a, std::string_view small) {
  if (a.size() != small.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (lower(a[i]) != small[i]) return false;
  return true;
}

// ATYP, address, port, from `at` on.
Read parse_target(std::string_view bytes, std::size_t& at, Target& out) {
  if (bytes.size() < at + 2) return Read::Need;
  const unsigned char type = byte(bytes, at);
  std::size_t size = 0;
  switch (type) {
    case kIpv4: size = 4; break;
    case kIpv6: size = 16; break;
    case kName: size = byte(bytes, at + 1); break;
    default: return Read::Bad;
  }
  const std::size_t from = at + (type == kName ? 2 : 1);
  if (type == kName && size == 0) return Read::Bad;
  if (bytes.size() < from + size + 2) return Read::Need;
  if (type == kName) {
    out.host = bytes.substr(from, size);
    if (out.host.find('\0') != std::string::npos) return Read::Bad;
  } else {
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(type == kIpv4 ? AF_INET : AF_INET6, bytes.data() + from, text.data(), text.size());
    out.host = text.data();
  }
  out.port = static_cast<std::uint16_t>(byte(bytes, from + size) << 8 | byte(bytes, from + size + 1));
  at = from + size + 2;
  return Read::Good;
}

std::optional<std::string> base64(std::string_view text) {
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (char c : text) {
    int value = -1;
    if (c >= 'A' && c <= 'Z') value = c - 'A';
    if (c >= 'a' && c <= 'z') value = c - 'a' + 26;
    if (c >= '0' && c <= '9') value = c - '0' + 52;
    if (c == '+') value = 62;
    if (c == '/') value = 63;
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    if ((count += 6) >= 8) out += static_cast<char>(bits >> (count -= 8) & 0xff);
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<std::string> secret_of(std::string_view value) {
  const auto space = value.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view rest = trimmed(value.substr(space));
  if (same(value.substr(0, space), "bearer")) return std::string(rest);
  if (!same(value.substr(0, space), "basic")) return std::nullopt;
  const auto pair = base64(rest);
  const auto colon = pair ? pair->find(':') : std::string::npos;
  return colon == std::string::npos ? std::nullopt : std::optional(pair->substr(colon + 1));
}

}  // namespace

Read parse_greeting(std::string_view bytes, std::size_t& used, SocksGreeting& out) {
  if (bytes.size() < 2) return bytes.empty() || byte(bytes, 0) == kSocks ? Read::Need : Read::Bad;
  const std::size_t methods = byte(bytes, 1);
  if (byte(bytes, 0) != kSocks || methods == 0) return Read::Bad;
  if (bytes.size() < 2 + methods) return Read::Need;
  for (std::size_t i = 0; i < methods; ++i) {
    out.none = out.none || byte(bytes, 2 + i) == 0;
    out.password = out.password || byte(bytes, 2 + i) == 2;
  }
  used = 2 + methods;
  return Read::Good;
}

Read parse_password(std::string_view bytes, std::size_t& used, SocksPassword& out) {
  if (!bytes.empty() && byte(bytes, 0) != 1) return Read::Bad;
  if (bytes.size() < 2) return Read::Need;
  const std::size_t user = byte(bytes, 1);
  if (bytes.size() < 3 + user) return Read::Need;
  const std::size_t password = byte(bytes, 2 + user);
  if (bytes.size() < 3 + user + password) return Read::Need;
  out.user = bytes.substr(2, user);
  out.password = bytes.substr(3 + user, password);
  used = 3 + user + password;
  return Read::Good;
}

Read parse_request(std::string_view bytes, std::size_t& used, SocksRequest& out) {
  if (bytes.size() < 3) return bytes.empty() || byte(bytes, 0) == kSocks ? Read::Need : Read::Bad;
  if (byte(bytes, 0) != kSocks || byte(bytes, 2) != 0) return Read::Bad;
  if (byte(bytes, 1) < 1 || byte(bytes, 1) > 3) return Read::Bad;
  out.command = static_cast<SocksCommand>(byte(bytes, 1));
  used = 3;
  return parse_target(bytes, used, out.target);
}

Read parse_datagram(std::string_view bytes, std::size_t& used, Target& out) {
  if (bytes.size() < 3 || bytes[0] != 0 || bytes[1] != 0 || bytes[2] != 0) return Read::Bad;
  used = 3;
  const Read read = parse_target(bytes, used, out);
  return read == Read::Need ? Read::Bad : read;
}

void append_target(std::string& out, const Target& target) {
  std::array<char, 16> address;
  if (inet_pton(AF_INET, target.host.c_str(), address.data()) == 1) {
    out += static_cast<char>(kIpv4);
    out.append(address.data(), 4);
  } else if (inet_pton(AF_INET6, target.host.c_str(), address.data()) == 1) {
    out += static_cast<char>(kIpv6);
    out.append(address.data(), 16);
  } else {
    const std::string_view name = std::string_view(target.host).substr(0, 255);
    out += static_cast<char>(kName);
    out += static_cast<char>(name.size());
    out += name;
  }
  out += static_cast<char>(target.port >> 8);
  out += static_cast<char>(target.port & 0xff);
}

std::string socks_reply(SocksReply reply, const Target& bound) {
  std::string out{static_cast<char>(kSocks), static_cast<char>(reply), '\0'};
  append_target(out, bound);
  return out;
}

Read parse_connect(std::string_view bytes, std::size_t& used, ConnectRequest& out) {
  constexpr std::string_view kMethod = "CONNECT ";
  const auto known = std::min(bytes.size(), kMethod.size());
  if (bytes.substr(0, known) != kMethod.substr(0, known)) return Read::Bad;
  const auto end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return bytes.size() > kMaxHeadBytes ? Read::Bad : Read::Need;
  if (end > kMaxHeadBytes) return Read::Bad;
  std::string_view head = bytes.substr(0, end);
  const auto next_line = [&head] {
    const auto stop = head.find("\r\n");
    const std::string_view line = head.substr(0, stop);
    head.remove_prefix(stop == std::string_view::npos ? head.size() : stop + 2);
    return line;
  };
  std::string_view request = next_line();
  if (request.size() < kMethod.size() + 9) return Read::Bad;  // "CONNECT HTTP/1.1" has one space for two
  if (!request.ends_with(" HTTP/1.1") && !request.ends_with(" HTTP/1.0")) return Read::Bad;
  request.remove_suffix(9);
  out.target = request.substr(kMethod.size());
  if (out.target.empty() || out.target.find(' ') != std::string::npos) return Read::Bad;
  while (!head.empty()) {
    const std::string_view line = next_line();
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0) return Read::Bad;
    if (same(line.substr(0, colon), "proxy-authorization"))
      out.secret = secret_of(trimmed(line.substr(colon + 1)));
  }
  used = end + 4;
  return Read::Good;
}

std::optional<Target> split_target(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  Target target;
  const std::string_view port = text.substr(colon + 1);
  const auto [end, wrong] = std::from_chars(port.data(), port.data() + port.size(), target.port);
  if (wrong != std::errc{} || end != port.data() + port.size() || port.empty()) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty()) return std::nullopt;
  target.host = host;
  return target;
}

}  // namespace qanat::access
