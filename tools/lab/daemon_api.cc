#include "tools/lab/daemon_api.hh"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/http_client.hh"

namespace qanat::lab {
namespace {

std::atomic<bool> interrupted_flag{false};

std::string log_of(const Process& process) {
  const std::string lines = last_lines(process.log, 12);
  return lines.empty() ? fmt::format("its log {} is empty", process.log)
                       : fmt::format("the last lines of {}:\n{}", process.log, lines);
}

}  // namespace

void set_interrupted() { interrupted_flag = true; }
bool interrupted() { return interrupted_flag; }

nlohmann::json call(const std::string& socket, const std::string& method, const std::string& target,
                    const nlohmann::json& body) {
  base::HttpClientOptions options;
  options.connect_timeout = std::chrono::seconds(2);
  options.read_timeout = std::chrono::seconds(5);
  base::ClientRequest request;
  request.method = method;
  request.target = target;
  if (!body.is_null()) request.body = body.dump();
  const auto response = base::fetch_blocking("unix:" + socket, std::move(request), options);
  const std::string asked = fmt::format("{} {} at {}", method, target, socket);
  if (!response) throw LabError(fmt::format("{}: {}", asked, response.error().message()));
  const auto answer = nlohmann::json::parse(response->body, nullptr, false);
  if (response->status < 200 || response->status > 299) {
    std::string message = response->body.substr(0, 300);
    if (answer.is_object() && answer.contains("error") && answer["error"].is_object())
      message = answer["error"].value("message", message);
    throw LabError(fmt::format("{}: {} {}", asked, response->status, message));
  }
  if (answer.is_discarded() && !response->body.empty()) throw LabError(asked + ": the answer is not JSON");
  return answer.is_discarded() ? nlohmann::json() : answer;
}

nlohmann::json get(const std::string& socket, const std::string& target) {
  return call(socket, "GET", target, {});
}

void wait_until(const std::string& what, const Process* process, int timeout_ms,
                const std::function<bool()>& ready) {
  using namespace std::chrono_literals;
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  std::string reason;
  for (;;) {
    if (interrupted()) throw LabError("interrupted");
    try {
      if (ready()) return;
      reason.clear();
    } catch (const LabError& e) {
      reason = e.what();
    }
    if (process && !alive(*process))
      throw LabError(
          fmt::format("{} has ended while waiting for {}; {}", process->name, what, log_of(*process)));
    if (std::chrono::steady_clock::now() > give_up)
      throw LabError(fmt::format("waited {} s in vain for {}{}{}", timeout_ms / 1000.0, what,
                                 reason.empty() ? "" : " (" + reason + ")",
                                 process ? "; " + log_of(*process) : ""));
    std::this_thread::sleep_for(50ms);
  }
}

}  // namespace qanat::lab
