#include "tools/qanat/invitation.hh"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tools/qanat/command_error.hh"

namespace qanat::cli {
namespace {

constexpr std::string_view kRelay = "/relay";

[[noreturn]] void refuse(const std::string& what) {
  throw CommandError{kWrongUsage, "this is no invitation: " + what,
                     "NAME@ADDRESS:PORT/q1.…, as `qanat box invite NAME` prints it on the controller's host"};
}

}  // namespace

std::string to_string(const Invitation& invitation) {
  return fmt::format("{}@{}/{}{}", invitation.node, fmt::join(invitation.controllers, ","), invitation.token,
                     invitation.relay ? kRelay : "");
}

Invitation parse_invitation(std::string_view text) {
  Invitation out;
  const std::size_t at = text.find('@'), slash = text.find('/');
  if (at == std::string_view::npos || at == 0 || at > slash) refuse("no box's name and @ at its start");
  if (slash == std::string_view::npos) refuse("no / before a token");
  out.node = text.substr(0, at);
  std::string_view rest = text.substr(slash + 1);
  if (rest.ends_with(kRelay)) out.relay = true, rest.remove_suffix(kRelay.size());
  if (!rest.starts_with("q1.") || rest.find('.', 3) == std::string_view::npos || rest.find('/') != rest.npos)
    refuse("no token q1.SECRET.FINGERPRINT at its end");
  out.token = rest;
  std::string_view list = text.substr(at + 1, slash - at - 1);
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view one = list.substr(0, comma);
    if (one.rfind(':') == std::string_view::npos || one.find_first_of("\"\\ ") != std::string_view::npos)
      refuse(fmt::format("\"{}\" is not ADDRESS:PORT", one));
    out.controllers.emplace_back(one);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  if (out.controllers.empty()) refuse("no controller's ADDRESS:PORT between @ and /");
  if (out.node.find_first_of("\"\\ ") != std::string::npos) refuse("a box's name has no quotes or spaces");
  return out;
}

}  // namespace qanat::cli
