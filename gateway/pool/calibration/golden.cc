#include "gateway/pool/calibration/golden.hh"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

namespace qanat::pool {
namespace {

using Json = nlohmann::json;

std::ifstream open(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::system_error(errno, std::generic_category(), "cannot open " + path);
  return file;
}

double ms(base::Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

CallTimes times(double ttft_ms, double e2e_ms, std::uint32_t output) {
  return {ttft_ms, output > 1 ? (e2e_ms - ttft_ms) / (output - 1) : 0, e2e_ms};
}

// The catalogue's longest model name that "vendor/Name-Suffix" begins with.
std::string catalogue_model(const Catalogue& catalogue, std::string name) {
  name.erase(0, name.rfind('/') + 1);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  std::string best;
  for (const auto& [known, model] : catalogue.models)
    if (name.starts_with(known) && known.size() > best.size()) best = known;
  return best;
}

std::uint32_t number(const Json& settings, const char* key, std::uint32_t otherwise) {
  const auto found = settings.find(key);
  return found != settings.end() && found->is_number() ? found->get<std::uint32_t>() : otherwise;
}

void read_requests(const std::string& path, GoldenRun& run) {
  std::ifstream file = open(path);
  std::vector<Json> rows;
  for (std::string line; std::getline(file, line);)
    if (!line.empty()) rows.push_back(Json::parse(line));
  // Arrivals are wall clock, the engine's stamps monotonic: the least difference between the two clocks is their offset.
  double offset = INFINITY, begin = INFINITY;
  for (const auto& row : rows) {
    const double arrival = row.at("arrival_time"), queued = row.at("queued_ts");
    offset = std::min(offset, queued - arrival);
    begin = std::min(begin, queued);
  }
  for (const auto& row : rows) {
    const double arrival = row.at("arrival_time"), queued = row.at("queued_ts");
    const double first = row.at("first_token_ts"), last = row.at("last_token_ts");
    GoldenRun::Request request;
    request.arrival = base::Time(base::Duration(std::llround((arrival + offset - begin) * 1e9)));
    request.input = row.at("input_toks");
    request.output = row.at("output_toks");
    request.real = times((first - queued) * 1e3, (last - queued) * 1e3, request.output);
    run.requests.push_back(request);
  }
  std::ranges::stable_sort(run.requests, {}, &GoldenRun::Request::arrival);
}

}  // namespace

GoldenRun read_golden_run(const std::string& folder, const Catalogue& catalogue) {
  GoldenRun run;
  run.name = std::filesystem::path(folder).filename();
  std::ifstream meta_file = open(folder + "/meta.json"), config_file = open(folder + "/config.json");
  const Json meta = Json::parse(meta_file), config = Json::parse(config_file);
  const Json& instance = config.at("nodes").at(0).at("instances").at(0);
  run.card = instance.at("hardware").get<std::string>();
  run.model = catalogue_model(catalogue, meta.at("model"));
  if (!catalogue.card(run.card)) throw std::runtime_error(folder + ": no card \"" + run.card + "\" is known");
  if (run.model.empty())
    throw std::runtime_error(folder + ": no model like \"" + meta.at("model").get<std::string>() +
                             "\" is known");
  const Json& settings = meta.at("engine_kwargs");
  run.cards = number(settings, "tensor_parallel_size", 1);
  run.limits.max_num_seqs = number(settings, "max_num_seqs", run.limits.max_num_seqs);
  run.limits.max_num_batched_tokens =
      number(settings, "max_num_batched_tokens", run.limits.max_num_batched_tokens);
  run.limits.max_waiting = ~0u;
  run.limits.every_token = false;
  if (const auto memory = instance.find("npu_mem"); memory != instance.end())
    run.limits.memory.utilisation = memory->value("mem_util", run.limits.memory.utilisation);
  if (const Profile* profile = catalogue.profile(catalogue.card(run.card)->profile))
    run.limits.profile = *profile;
  read_requests(folder + "/requests.jsonl", run);
  return run;
}

std::vector<CallTimes> replay(const GoldenRun& run, const Card& card, const Model& model) {
  Engine engine(Roofline(card, run.cards, model), run.limits);
  const std::size_t count = run.requests.size();
  std::vector<base::Time> taken(count), first(count), last(count);
  const auto drain = [&] {
    while (const auto event = engine.poll_event()) {
      if (event->index == 1) first[event->call] = event->at;
      last[event->call] = event->at;
    }
  };
  for (std::size_t i = 0; i < count; ++i) {
    const auto& request = run.requests[i];
    engine.on_timer(request.arrival);
    drain();
    taken[i] = std::max(request.arrival, engine.next_timeout().value_or(request.arrival));
    engine.submit(i, request.input, request.output, request.arrival);
  }
  while (const auto next = engine.next_timeout()) {
    engine.on_timer(*next + std::chrono::hours(1));
    drain();
  }
  std::vector<CallTimes> result;
  for (std::size_t i = 0; i < count; ++i)
    result.push_back(times(ms(first[i] - taken[i]), ms(last[i] - taken[i]), run.requests[i].output));
  return result;
}

GoldenScore score(const GoldenRun& run, const std::vector<CallTimes>& simulated) {
  GoldenScore result;
  const auto compare = [&](double CallTimes::*value, Compared* out) {
    std::vector<double> real, sim;
    for (std::size_t i = 0; i < simulated.size(); ++i) {
      if (value == &CallTimes::tpot_ms && run.requests[i].output < 2) continue;
      real.push_back(run.requests[i].real.*value);
      sim.push_back(simulated[i].*value);
    }
    const auto statistics = [](std::vector<double>& values, double Compared::*side, Compared* to) {
      std::ranges::sort(values);
      double sum = 0;
      for (const double v : values) sum += v;
      to[0].*side = sum / double(values.size());
      const double shares[] = {0.5, 0.9, 0.99};
      for (int i = 0; i < 3; ++i)
        to[i + 1].*side =
            values[static_cast<std::size_t>(std::lround(shares[i] * double(values.size() - 1)))];
    };
    if (real.empty()) return;
    statistics(real, &Compared::real, out);
    statistics(sim, &Compared::simulated, out);
  };
  compare(&CallTimes::ttft_ms, result.ttft);
  compare(&CallTimes::tpot_ms, result.tpot);
  compare(&CallTimes::e2e_ms, result.e2e);
  std::size_t with_tpot = 0;
  for (std::size_t i = 0; i < simulated.size(); ++i) {
    const CallTimes& real = run.requests[i].real;
    if (real.tpot_ms > 0) {
      result.request_tpot_mape_pct += std::abs(simulated[i].tpot_ms / real.tpot_ms - 1);
      ++with_tpot;
    }
    if (i < 20) {
      result.first20_ttft.real += real.ttft_ms / 20;
      result.first20_ttft.simulated += simulated[i].ttft_ms / 20;
    }
  }
  result.request_tpot_mape_pct *= 100.0 / double(std::max<std::size_t>(1, with_tpot));
  return result;
}

}  // namespace qanat::pool
