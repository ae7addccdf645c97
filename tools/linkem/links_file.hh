// The file of `linkem serve`: many links between many namespaces, as TOML; and NETNS:DEV:ADDR of `linkem
// pair`. All problems are reported at once, a SPEC's with the character they start at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/linkem/tun_link.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::linkem {

//   seed = 1
//   [[link]]
//   name = "city-relay1-p1"
//   up = "200mbit,delay=9ms"      # a → b
//   down = "200mbit,delay=9ms"
//   mtu = 1500
//   nat = "symmetric(203.0.113.1,udp=30s)"   # at end a; optional
//   offload = true                # super-packets, where the kernel has them
//   # a route is "DESTINATION [from SOURCE] [table N]"
//   a = { netns = "ql1-city", device = "p1-relay1", addresses = [], routes = ["10.1.0.4/32 from 10.1.0.1"] }
//   b = { … }
struct LinksFile {
  std::uint64_t seed = 1;
  std::vector<LinkConfig> links;
};

LinksFile read_links(base::ConfigTable& root);
std::string to_toml(const LinksFile& file);
// SPEC under `key`, its files loaded; "" when it is missing. A bad one is a problem that shows the character.
Spec read_spec(base::ConfigTable& table, std::string_view key);
// Reads a Spec's files from the file system. Throws.
void load_files(Spec& spec);
// Notes what parse_spec or parse_nat said of the text under `key`.
void bad_text(base::ConfigTable& table, std::string_view key, std::string_view text, const SpecError& error);
// "NETNS:DEV:ADDR": the device in that namespace with that address; NETNS may be empty.
std::optional<LinkEnd> parse_end(std::string_view text);

}  // namespace qanat::linkem
