// An invitation: all that a new box needs to know, in one word: NAME@ADDRESS:PORT[,ADDRESS:PORT…]/TOKEN[/relay].
// A join token alone names neither the box nor where its controller is; whoever types it would have to.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qanat::cli {

struct Invitation {
  std::string node;                      // the box's name, as the token has it
  std::vector<std::string> controllers;  // ADDRESS:PORT, tried in turn; IPv6 in brackets
  std::string token;                     // q1.… (seams.md §3)
  bool relay = false;
};

std::string to_string(const Invitation& invitation);
// Throws CommandError that says which part is missing.
Invitation parse_invitation(std::string_view text);

}  // namespace qanat::cli
