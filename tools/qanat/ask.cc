#include "tools/qanat/ask.hh"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <system_error>

#include "tools/linkem/netns.hh"

namespace qanat::cli {
using nlohmann::json;
using namespace std::chrono_literals;

CommandError not_reachable(const Place& place, const boost::system::error_code& ec) {
  const bool unix_socket = place.origin.starts_with("unix:");
  std::string hint = "is it running? `qanat status` shows what does";
  if (unix_socket && ec == boost::system::errc::permission_denied)
    hint = "its socket is its owner's alone: run as root";
  return {kNotReachable, fmt::format("{} cannot be reached ({}): {}", place.what, place.origin, ec.message()),
          hint};
}

CommandError refused(const Place& place, int status, const std::string& body) {
  std::string message = fmt::format("{} answered {}", place.what, status);
  std::string hint;
  const json answer = json::parse(body, nullptr, false);
  if (answer.is_object() && answer.contains("error") && answer["error"].is_object()) {
    const json& error = answer["error"];
    message += ": " + error.value("message", error.value("code", "no reason given"));
    hint = error.value("hint", "");
  }
  int exit_status = kFailed;
  if (status == 400 || status == 405 || status == 422) exit_status = kWrongUsage;
  if (status == 404) exit_status = kNotFound;
  if (status == 401 || status == 402 || status == 403 || status == 429) exit_status = kRefused;
  if (status == 401 && hint.empty())
    hint = "--key KEY or QANAT_KEY gives the tenant's key; QANAT_TOKEN an operator's";
  return {exit_status, message, hint};
}

json ask(const Place& place, const std::string& method, const std::string& target, const std::string& body) {
  base::ClientRequest request;
  request.method = method;
  request.target = target;
  request.body = body;
  request.headers.add("connection", "close");
  if (!place.key.empty()) request.headers.add("authorization", "Bearer " + place.key);
  base::HttpClientOptions options;
  options.connect_timeout = 3s;
  options.read_timeout = 20s;
  const linkem::NetnsScope inside{place.netns};
  const auto answer = base::fetch_blocking(place.origin, std::move(request), options);
  if (!answer) throw not_reachable(place, answer.error());
  if (answer->status / 100 != 2) throw refused(place, answer->status, answer->body);
  json document = json::parse(answer->body, nullptr, false);
  if (document.is_discarded())
    throw CommandError{kFailed, fmt::format("{} answered something that is not JSON", place.what),
                       "is something else listening there?"};
  return document;
}

bool try_ask(const Place& place, const std::string& target, json& answer, std::string& problem) {
  try {
    answer = ask(place, "GET", target);
    return true;
  } catch (const std::exception& e) {
    problem = e.what();
    return false;
  }
}

}  // namespace qanat::cli
