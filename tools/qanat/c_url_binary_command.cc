// The binary form of C-URLs, and the addresses they map to.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/hex.hh"
#include "identifiers/c_url/binary.hh"
#include "identifiers/c_url/c_url.hh"
#include "identifiers/c_url/service_address.hh"
#include "tools/qanat/command_error.hh"
#include "tools/qanat/commands.hh"

namespace qanat::cli {
using nlohmann::ordered_json;

int encode_c_url(const Options& options, const std::string& text) {
  const auto url = c_url::CUrl::parse(text);
  if (!url)
    throw CommandError{kWrongUsage, "not a C-URL\n" + c_url::point_at(text, url.error()),
                       "c-url://[provider@]location/service[/model[@version]][?key=value[&…]]"};
  const std::string bytes = c_url::encode(*url);
  const std::string hex = base::to_hex({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  if (!options.json) {
    fmt::print("{}\n", hex);
    return 0;
  }
  const ordered_json out{{"canonical", c_url::to_string(*url)},
                         {"version", c_url::kBinaryVersion},
                         {"bytes", bytes.size()},
                         {"hex", hex},
                         {"service_sid", c_url::to_string(c_url::service_sid(*url))},
                         {"service_ipv4", c_url::to_string(c_url::service_ipv4(*url))}};
  fmt::print("{}\n", out.dump(2));
  return 0;
}

int decode_c_url(const Options& options, const std::string& hex) {
  const auto bytes = base::from_hex(hex);
  if (!bytes) throw CommandError{kWrongUsage, "not hexadecimal", "qanat c-url decode c1000005696e66657200"};
  const auto url =
      c_url::decode(std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size()));
  if (!url)
    throw CommandError{kFailed, fmt::format("not a binary C-URL: {}", c_url::to_string(url.error())),
                       "c-url(7), BINARY FORM"};
  if (options.json)
    fmt::print("{}\n", ordered_json{{"canonical", c_url::to_string(*url)}}.dump());
  else
    fmt::print("{}\n", c_url::to_string(*url));
  return 0;
}

}  // namespace qanat::cli
