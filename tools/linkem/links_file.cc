#include "tools/linkem/links_file.hh"

#include <fmt/format.h>

#include <cstdlib>
#include <set>

#include "base/config.hh"
#include "base/file.hh"

namespace qanat::linkem {
namespace {

LinkEnd read_end(base::ConfigTable& link, std::string_view key) {
  LinkEnd end;
  auto table = link.table(key, true);
  if (!table) return end;
  end.netns = table->string("netns", "");
  end.device = table->string("device");
  if (end.device.empty() || end.device.size() > 15)
    table->problem("device", fmt::format("'{}'", end.device), "an interface name of 1 to 15 characters");
  end.addresses = table->strings("addresses");
  for (const auto& text : table->strings("routes")) {
    // "DESTINATION [from SOURCE] [table N]"
    LinkRoute route{text, "", 0};
    if (const auto at = route.destination.find(" table "); at != text.npos) {
      route.table = static_cast<unsigned>(std::strtoul(text.c_str() + at + 7, nullptr, 10));
      if (route.table == 0)
        table->problem("routes", fmt::format("'{}'", text), "a table number after 'table'");
      route.destination.resize(at);
    }
    if (const auto at = route.destination.find(" from "); at != text.npos) {
      route.source = route.destination.substr(at + 6);
      route.destination.resize(at);
    }
    end.routes.push_back(std::move(route));
  }
  return end;
}

std::string list(const std::vector<std::string>& texts) {
  std::string out;
  for (const auto& text : texts) out += fmt::format("{}\"{}\"", out.empty() ? "" : ", ", text);
  return "[" + out + "]";
}

std::string end_to_toml(const LinkEnd& end) {
  std::vector<std::string> routes;
  for (const auto& route : end.routes) {
    std::string text = route.destination;
    if (!route.source.empty()) text += " from " + route.source;
    if (route.table) text += fmt::format(" table {}", route.table);
    routes.push_back(std::move(text));
  }
  return fmt::format("{{ netns = \"{}\", device = \"{}\", addresses = {}, routes = {} }}", end.netns,
                     end.device, list(end.addresses), list(routes));
}

}  // namespace

void bad_text(base::ConfigTable& table, std::string_view key, std::string_view text, const SpecError& error) {
  // Where the message says what was expected, the problem's own words stand for its first one.
  std::string_view expected = error.message;
  if (expected.starts_with("expected ")) expected.remove_prefix(9);
  table.problem(key, fmt::format("'{}' at character {}", text, error.offset + 1), std::string(expected));
}

Spec read_spec(base::ConfigTable& table, std::string_view key) {
  const std::string text = table.string(key, "");
  auto spec = parse_spec(text);
  if (!spec) {
    bad_text(table, key, text, spec.error());
    return {};
  }
  try {
    load_files(*spec);
  } catch (const std::exception& e) {
    table.problem(key, e.what(), "a file that can be read and has the right lines");
  }
  return *spec;
}

void load_files(Spec& spec) {
  load_files(spec, [](const std::string& path) { return base::read_file(path); });
}

LinksFile read_links(base::ConfigTable& root) {
  LinksFile file;
  file.seed = static_cast<std::uint64_t>(root.integer("seed", {.min = 0}, 1));
  std::set<std::string> names;
  for (auto& table : root.tables("link", true)) {
    LinkConfig link;
    link.name = table.string("name");
    if (!names.insert(link.name).second) table.problem("name", "given to two links", "a name of its own");
    link.up = read_spec(table, "up");
    link.down = read_spec(table, "down");
    link.mtu = static_cast<unsigned>(table.integer("mtu", {.min = 576, .max = 65'535}, 1500));
    const std::string nat = table.string("nat", "");
    if (const auto parsed = parse_nat(nat))
      link.nat = *parsed;
    else
      bad_text(table, "nat", nat, parsed.error());
    link.offload = table.boolean("offload", true);
    link.a = read_end(table, "a");
    link.b = read_end(table, "b");
    file.links.push_back(std::move(link));
  }
  return file;
}

std::string to_toml(const LinksFile& file) {
  std::string out = fmt::format("seed = {}\n", file.seed);
  for (const auto& link : file.links) {
    out += fmt::format("\n[[link]]\nname = \"{}\"\nup = \"{}\"\ndown = \"{}\"\nmtu = {}\na = {}\nb = {}\n",
                       link.name, to_string(link.up), to_string(link.down), link.mtu, end_to_toml(link.a),
                       end_to_toml(link.b));
    if (link.nat != NatConfig{}) out += fmt::format("nat = \"{}\"\n", to_string(link.nat));
    if (!link.offload) out += "offload = false\n";
  }
  return out;
}

std::optional<LinkEnd> parse_end(std::string_view text) {
  const auto first = text.find(':');
  if (first == text.npos) return {};
  const auto second = text.find(':', first + 1);  // what follows may be an IPv6 address
  if (second == text.npos) return {};
  LinkEnd end;
  end.netns = text.substr(0, first);
  end.device = text.substr(first + 1, second - first - 1);
  const auto address = text.substr(second + 1);
  if (end.device.empty() || end.device.size() > 15 || address.empty()) return {};
  end.addresses.emplace_back(address);
  return end;
}

}  // namespace qanat::linkem
