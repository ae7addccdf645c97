#include "identifiers/ids/acl_rule.hh"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

namespace qanat::ids {
namespace {

constexpr std::array<std::pair<std::string_view, std::uint8_t>, 4> kProtocols{
    {{"tcp", 6}, {"udp", 17}, {"icmp", 1}, {"icmpv6", 58}}};

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (true) {
    const auto begin = text.find_first_not_of(' ');
    if (begin == std::string_view::npos) return out;
    const auto end = std::min(text.find(' ', begin), text.size());
    out.push_back(text.substr(begin, end - begin));
    text.remove_prefix(end);
  }
}

template <class T>
bool number(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

bool read_label(std::string_view word, std::string& out) {
  if (word == "*") return true;
  out = word;
  return valid_label(word);
}

bool read_service(std::string_view word, AclRule& rule) {
  const auto slash = word.find('/');
  const auto name = word.substr(0, slash);
  const auto known =
      std::find_if(kProtocols.begin(), kProtocols.end(), [&](const auto& p) { return p.first == name; });
  if (known != kProtocols.end()) {
    rule.protocol = known->second;
  } else if (!number(name, rule.protocol)) {
    return false;
  }
  if (slash == std::string_view::npos) return true;
  if (rule.protocol != 6 && rule.protocol != 17) return false;
  const auto ports = word.substr(slash + 1);
  const auto dash = ports.find('-');
  if (!number(ports.substr(0, dash), rule.first_port)) return false;
  rule.last_port = rule.first_port;
  if (dash != std::string_view::npos && !number(ports.substr(dash + 1), rule.last_port)) return false;
  return rule.first_port <= rule.last_port;
}

}  // namespace

bool valid_label(std::string_view label) noexcept {
  return !label.empty() && label.size() <= 32 && std::all_of(label.begin(), label.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

std::optional<AclRule> parse_acl_rule(std::string_view text) {
  const auto words = words_of(text);
  AclRule rule;
  if (words.size() < 4 || words.size() > 5 || words[2] != "->") return std::nullopt;
  if (words[0] != "allow" && words[0] != "deny") return std::nullopt;
  rule.allow = words[0] == "allow";
  if (!read_label(words[1], rule.from) || !read_label(words[3], rule.to)) return std::nullopt;
  if (words.size() == 5 && !read_service(words[4], rule)) return std::nullopt;
  return rule;
}

std::string to_string(const AclRule& rule) {
  const auto label = [](const std::string& l) { return l.empty() ? std::string("*") : l; };
  std::string out = (rule.allow ? "allow " : "deny ") + label(rule.from) + " -> " + label(rule.to);
  if (rule.protocol == 0) return out;
  const auto known = std::find_if(kProtocols.begin(), kProtocols.end(),
                                  [&](const auto& p) { return p.second == rule.protocol; });
  out += ' ' + (known != kProtocols.end() ? std::string(known->first) : std::to_string(rule.protocol));
  if (rule.first_port == 0 && rule.last_port == 65535) return out;
  out += '/' + std::to_string(rule.first_port);
  if (rule.last_port != rule.first_port) out += '-' + std::to_string(rule.last_port);
  return out;
}

}  // namespace qanat::ids
