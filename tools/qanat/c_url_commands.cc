// C-URLs without a network: parse, canonical, match.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "identifiers/c_url/c_url.hh"
#include "identifiers/c_url/key.hh"
#include "identifiers/c_url/match.hh"
#include "tools/qanat/command_error.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
using nlohmann::ordered_json;
namespace {

c_url::CUrl parsed(const std::string& text) {
  auto url = c_url::CUrl::parse(text);
  if (!url.has_value())
    throw CommandError{kWrongUsage, "not a C-URL\n" + c_url::point_at(text, url.error()),
                       "c-url://[provider@]location/service[/model[@version]][?key=value[&…]]"};
  return std::move(*url);
}

std::string value_text(const std::string& key, const c_url::Value& value) {
  if (!value.names.empty()) return fmt::format("{}", fmt::join(value.names, ","));
  const c_url::Key* known = c_url::find_key(key);
  using enum c_url::ValueType;
  const char* unit = "";
  if (known != nullptr && known->type == Duration) unit = " ms";
  if (known != nullptr && known->type == Bytes) unit = " bytes";
  if (known != nullptr && known->type == Rate) unit = " bit/s";
  if (known != nullptr && known->type == Nano) unit = " nano per token";
  if (known != nullptr && known->type == Instant) unit = " s since 1970";
  return fmt::format("{}{}", value.number, unit);
}

std::string or_any(const std::string& text) { return text.empty() ? "any" : text; }

std::string first(const c_url::CUrl& url, std::string_view key) {
  const auto& names = url.names(key);
  return names.empty() ? std::string{} : names.front();
}

}  // namespace

int parse_c_url(const Options& options, const std::string& text) {
  const c_url::CUrl url = parsed(text);
  if (options.json) {
    ordered_json query = ordered_json::object();
    for (const auto& [key, value] : url.query)
      query[key] = value.names.empty() ? ordered_json(value.number) : ordered_json(value.names);
    const ordered_json out{{"canonical", c_url::to_string(url)},
                           {"provider", url.provider},
                           {"location", c_url::to_string(url.location)},
                           {"service", url.service},
                           {"model", url.model},
                           {"version", url.version},
                           {"query", std::move(query)},
                           {"is_instance", url.is_instance()}};
    fmt::print("{}\n", out.dump(2));
    return 0;
  }
  Table table{{"PART", "VALUE", "MEANING"}};
  table.row({"canonical", c_url::to_string(url), ""});
  table.row({"provider", or_any(url.provider), "who offers it"});
  table.row({"location", c_url::to_string(url.location), "where, the most specific label first"});
  table.row({"service", url.service, "what it does"});
  table.row({"model", or_any(url.model), "with which model"});
  table.row({"version", or_any(url.version), "and version"});
  for (const auto& [key, value] : url.query) {
    const c_url::Key* known = c_url::find_key(key);
    table.row(
        {key, value_text(key, value), std::string{known != nullptr ? known->meaning : "kept as it is"}});
  }
  table.row({"names", url.is_instance() ? "one instance" : "a request", ""});
  fmt::print("{}", table.text(terminal_width()));
  return 0;
}

int canonical_c_url(const Options& options, const std::string& text) {
  const std::string canonical = c_url::to_string(parsed(text));
  if (options.json)
    fmt::print("{}\n", ordered_json{{"canonical", canonical}}.dump());
  else
    fmt::print("{}\n", canonical);
  return 0;
}

int match_c_url(const Options& options, const std::string& request_text, const std::string& offer_text) {
  const c_url::CUrl request = parsed(request_text);
  const c_url::CUrl described = parsed(offer_text);
  if (described.location.any() || described.location.has_wildcard())
    throw CommandError{kWrongUsage, "the offer's location has a wildcard",
                       "an offer stands in one place: c-url://pml@guian.gz.cn/infer/MODEL?accel=h20&cards=8"};
  const std::string instance = first(described, "instance");
  const std::string accelerator = first(described, "accel");
  const std::string dtype = first(described, "dtype");
  c_url::Offer offer;
  offer.instance = instance;
  offer.provider = described.provider;
  offer.location = described.location;
  offer.services = {described.service};
  offer.model = described.model;
  offer.version = described.version;
  offer.accelerator = accelerator;
  offer.dtype = dtype;
  offer.cards = described.number("cards").value_or(0);
  offer.memory_bytes = described.number("mem").value_or(0);
  offer.context_tokens = described.number("ctx").value_or(0);
  offer.price_nano = described.number("max_price").value_or(0);
  const auto plane = described.choice("plane");
  if (plane) offer.planes = {*plane};
  const auto wrong = c_url::mismatch(request, offer);
  if (options.json) {
    ordered_json out{{"matches", !wrong}};
    if (wrong)
      out["mismatch"] = {{"clause", wrong->clause}, {"wanted", wrong->wanted}, {"offered", wrong->offered}};
    fmt::print("{}\n", out.dump());
  } else {
    fmt::print("{}\n", wrong ? "no: " + c_url::to_string(*wrong) : "yes");
  }
  return wrong ? kFailed : 0;
}

}  // namespace qanat::cli
