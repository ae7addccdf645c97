#include "gateway/pool/calibration/golden.hh"

#include <cerrno>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <vector>

namespace qanat::pool {
namespace {

struct Request {
  base::Time arrival;
  std::uint32_t input = 0, output = 0;
  base::Time first{}, last{};
};

double ms(base::Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

void add(MeanTimes& mean, double ttft, double e2e, std::uint32_t output, double share) {
  mean.ttft_ms += ttft * share;
  mean.e2e_ms += e2e * share;
  if (output > 1) mean.tpot_ms += (e2e - ttft) / (output - 1) * share;
}

}  // namespace

GoldenScore replay_golden(const std::string& requests_path, const Roofline& roofline,
                          const EngineLimits& limits) {
  std::ifstream file(requests_path);
  if (!file) throw std::system_error(errno, std::generic_category(), "cannot open " + requests_path);
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(file, line);)
    if (!line.empty()) rows.push_back(nlohmann::json::parse(line));
  GoldenScore score;
  score.requests = rows.size();
  const double share = 1.0 / double(std::max<std::size_t>(1, rows.size()));
  std::vector<Request> requests;
  // A run's engine stamps are monotonic; its arrival times are wall clock. queued_ts is the arrival at the engine.
  for (const auto& row : rows) {
    const double queued = row.at("queued_ts"), first = row.at("first_token_ts"),
                 last = row.at("last_token_ts");
    requests.push_back(
        {base::Time(base::Duration(std::llround((queued - rows[0].at("queued_ts").get<double>()) * 1e9))),
         row.at("input_toks"), row.at("output_toks")});
    add(score.real, (first - queued) * 1e3, (last - queued) * 1e3, requests.back().output, share);
  }
  Engine engine(roofline, limits);
  auto drain = [&] {
    while (const auto event = engine.poll_event()) {
      Request& request = requests[event->call];
      if (event->index == 1) request.first = event->at;
      request.last = event->at;
    }
  };
  for (std::size_t i = 0; i < requests.size(); ++i) {
    engine.submit(i, requests[i].input, requests[i].output, requests[i].arrival);
    engine.on_timer(requests[i].arrival);
    drain();
  }
  while (const auto next = engine.next_timeout()) {
    engine.on_timer(*next);
    drain();
  }
  for (const auto& request : requests)
    add(score.simulated, ms(request.first - request.arrival), ms(request.last - request.arrival),
        request.output, share);
  return score;
}

}  // namespace qanat::pool
