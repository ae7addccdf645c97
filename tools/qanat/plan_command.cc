#include "tools/qanat/plan_command.hh"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/config.hh"
#include "base/file.hh"
#include "gateway/pool/plan/demand.hh"
#include "gateway/pool/plan/image_map.hh"
#include "gateway/pool/plan/requirement_map.hh"
#include "tools/qanat/command_error.hh"
#include "tools/qanat/run_command.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
namespace {

using nlohmann::ordered_json;
using pool::Catalogue;

constexpr std::size_t kMaxFile = 4 << 20;
constexpr const char* kExamples = R"(
Examples:
  qanat plan --model 70b --streams 60 --ttft 2s --tpot 100ms
  qanat plan --model qwen-32b --streams 200 --tpot 60ms --sites sites.toml --json
  qanat plan --model 70b --tenant school=80@10 --tenant hospital=50@15 --tenant game=90@21
  qanat plan tables cards.json                the published tables beside what the engine predicts

A tenant is NAME=PEAK@HOUR: streams at its busiest hour, a tenth of that at its quietest. Prices and sites of the built-in
list are an example (gateway/pool/plan/data/sites.toml); give your own with --sites.)";

struct Arguments {
  std::string model, sites, data, table;
  std::uint32_t streams = 0, input = 1024, output = 1024;
  std::string ttft = "2s", tpot = "100ms";
  std::vector<std::string> tenants;
  double quantile = 0.99;
  bool json = false;
};

base::Duration duration(const std::string& option, const std::string& text) {
  const auto parsed = base::parse_duration(text);
  if (!parsed || parsed->count() <= 0)
    throw CommandError{kWrongUsage, option + ": \"" + text + "\" is not a duration", "such as 2s or 100ms"};
  return *parsed;
}

void report(const std::vector<std::string>& problems) {
  if (problems.empty()) return;
  std::string all;
  for (const auto& problem : problems) all += (all.empty() ? "" : "\n") + problem;
  throw CommandError{kWrongUsage, all};
}

Catalogue catalogue(const Arguments& a) {
  Catalogue all = pool::built_in();
  if (!a.data.empty()) report(pool::add_folder(all, a.data));
  return all;
}

pool::Demand demand(const std::string& text) {
  const std::size_t equals = text.find('='), at = text.find('@');
  try {
    if (equals != std::string::npos && equals > 0) {
      const double peak = std::stod(text.substr(equals + 1));
      const double hour = at == std::string::npos ? 14 : std::stod(text.substr(at + 1));
      if (peak > 0 && peak < 1e6 && hour >= 0 && hour < 24)
        return pool::tide(text.substr(0, equals), peak, hour);
    }
  } catch (const std::exception&) {
  }
  throw CommandError{kWrongUsage, "--tenant: \"" + text + "\" is not NAME=PEAK@HOUR", "such as school=80@10"};
}

const pool::Profile& profile_of(const Catalogue& all, const pool::Card& card) {
  static const pool::Profile usual;
  const pool::Profile* known = all.profile(card.profile);
  return known ? *known : usual;
}

std::string image_text(const pool::ImageAnswer& answer) {
  if (!answer.image) return "none (" + answer.why + ")";
  return answer.first_choice ? answer.image->name + " (substitute)" : answer.image->name;
}

int plan(const Arguments& a) {
  const Catalogue all = catalogue(a);
  pool::Requirement r;
  r.model = pool::find_model(all, a.model);
  if (r.model.empty()) {
    std::string names;
    for (const auto& [name, model] : all.models) names += (names.empty() ? "" : ", ") + name;
    throw CommandError{kNotFound, "no single model is \"" + a.model + "\"", "one of " + names};
  }
  r.input = a.input;
  r.output = a.output;
  r.ttft = duration("--ttft", a.ttft);
  r.tpot = duration("--tpot", a.tpot);
  r.streams = a.streams;
  pool::Capacity demanded;
  if (!a.tenants.empty()) {
    std::vector<pool::Demand> tenants;
    for (const auto& text : a.tenants) tenants.push_back(demand(text));
    demanded = pool::capacity_for(tenants, a.quantile);
    r.streams = demanded.together;
  }
  if (r.streams == 0)
    throw CommandError{kWrongUsage, "how many streams?", "--streams N, or --tenant NAME=PEAK@HOUR"};
  std::vector<pool::SiteOffer> sites = pool::sample_sites();
  if (!a.sites.empty()) {
    sites.clear();
    report(pool::add_sites(sites, all, a.sites, base::read_file(a.sites, kMaxFile)));
  }
  const auto choices = pool::choose(all, sites, r);
  const pool::Model& model = *all.model(r.model);
  ordered_json out{{"model", r.model}, {"streams", r.streams}, {"choices", ordered_json::array()}};
  Table table{
      {"SITE", "CARD", ">CARDS", ">PRICE/H", ">PER M TOKENS", ">TTFT", ">TPOT", ">KG CO2/H", "IMAGE", "WHY"}};
  for (const auto& c : choices) {
    const pool::Card& card = *all.card(c.offer.card);
    pool::ImageWish wish{r.model, std::string(pool::to_string(model.dtype)), card.vendor, card.memory_gb};
    std::transform(wish.vendor.begin(), wish.vendor.end(), wish.vendor.begin(), ::tolower);
    // What the card has no arithmetic for is served in the type it has.
    if (wish.dtype == "bf16" && card.bf16_tflops == 0) wish.dtype = "fp16";
    const auto image = pool::find_image(pool::built_in_images(), wish);
    ordered_json entry{{"site", c.offer.site}, {"location", c.offer.location},
                       {"card", c.offer.card}, {"holds", c.holds},
                       {"why", c.why},         {"image", image_text(image)}};
    if (c.holds) {
      entry["cards"] = c.cards();
      entry["tensor_parallel"] = c.tensor_parallel;
      entry["engines"] = c.engines;
      entry["price_per_hour"] = c.price_per_hour;
      entry["price_per_million_tokens"] = c.price_per_million;
      entry["ttft_s"] = c.predicted.ttft_s;
      entry["tpot_ms"] = c.predicted.tpot_s * 1e3;
      entry["kg_co2_per_hour"] = c.kg_co2_per_hour;
      table.row({c.offer.site, c.offer.card, fmt::format("{} × {}", c.engines, c.tensor_parallel),
                 fmt::format("{:.2f}", c.price_per_hour), fmt::format("{:.2f}", c.price_per_million),
                 fmt::format("{:.2f} s", c.predicted.ttft_s),
                 fmt::format("{:.0f} ms", c.predicted.tpot_s * 1e3), fmt::format("{:.2f}", c.kg_co2_per_hour),
                 image_text(image), c.why});
    } else {
      table.row({c.offer.site, c.offer.card, "-", "-", "-", "-", "-", "-", "-", "no: " + c.why});
    }
    out["choices"].push_back(std::move(entry));
  }
  if (!a.tenants.empty())
    out["demand"] = {{"together", demanded.together},
                     {"each_alone", demanded.each_alone},
                     {"worst_hour", demanded.worst_hour}};
  if (a.json) {
    fmt::print("{}\n", out.dump(2));
  } else {
    fmt::print("{}: {} streams of {} + {} tokens, TTFT ≤ {}, TPOT ≤ {} (means)\n", r.model, r.streams,
               r.input, r.output, a.ttft, a.tpot);
    if (!a.tenants.empty())
      fmt::print("together {} streams at {:.0f} % (worst at {}:00); each for itself they would need {}\n",
                 demanded.together, a.quantile * 100, demanded.worst_hour, demanded.each_alone);
    fmt::print("\n{}", table.text(terminal_width()));
  }
  const bool any = std::any_of(choices.begin(), choices.end(), [](const auto& c) { return c.holds; });
  if (!any && !a.json) fmt::print(stderr, "\nqanat: no site holds it; the last column says why\n");
  return any ? 0 : kNotFound;
}

// The white paper's two tables: streams at 15 tokens/s each, and who holds 2 s and 100 ms at 32 streams of the 32B.
int tables(const Arguments& a) {
  const Catalogue all = catalogue(a);
  const auto published = ordered_json::parse(base::read_file(a.table, kMaxFile), nullptr, false);
  const auto rows = published.find("max_concurrency_at_15_tokens_per_s_per_stream");
  if (!published.is_object() || rows == published.end())
    throw CommandError{kWrongUsage, a.table + " holds no max_concurrency_at_15_tokens_per_s_per_stream"};
  const pool::Requirement shape;
  Table table{
      {"CARD", ">CARDS", "MODEL", ">PUBLISHED", ">PREDICTED", ">ERROR", "2 s AND 100 ms AT 32 STREAMS"}};
  ordered_json out = ordered_json::array();
  for (const auto& row : *rows) {
    const pool::Card* card = all.card(row.value("card", ""));
    const std::uint32_t cards = row.value("cards", 0u);
    if (!card || cards == 0) continue;
    for (const auto& [size, name] : published["models"].items()) {
      if (!row.contains(size)) continue;
      std::string lower = name.get<std::string>();
      std::transform(lower.begin(), lower.end(), lower.begin(), ::tolower);
      const pool::Model* model = all.model(lower);
      if (!model) continue;
      const auto& profile = profile_of(all, *card);
      const bool fits = pool::predict(*card, cards, *model, profile, shape, 1).fits;
      const std::uint32_t predicted = pool::capacity_at_rate(*card, cards, *model, profile, shape, 15);
      pool::Requirement sla = shape;
      sla.model = lower;
      const bool holds = pool::predict(*card, cards, *model, profile, sla, 32).holds(sla);
      const auto& said = row[size];
      const std::string error = said.is_number() && said.get<double>() > 0
                                    ? fmt::format("{:+.0f} %", (predicted / said.get<double>() - 1) * 100)
                                    : "";
      table.row({card->name, std::to_string(cards), size, said.is_number() ? said.dump() : "cannot run",
                 fits ? std::to_string(predicted) : "cannot run", error,
                 size == "32B" ? (holds ? "holds" : "misses") : ""});
      out.push_back({{"card", card->name},
                     {"cards", cards},
                     {"model", lower},
                     {"published", said},
                     {"predicted", fits ? ordered_json(predicted) : ordered_json("-")},
                     {"sla_32_streams", holds}});
    }
  }
  if (a.json)
    fmt::print("{}\n", out.dump(2));
  else
    fmt::print("{}", table.text(terminal_width()));
  return 0;
}

}  // namespace

int plan_main(int argc, char** argv) {
  CLI::App app{"Which cards, how many and where, for a task: predicted by the pools' own engine.",
               "qanat plan"};
  app.footer(kExamples);
  Arguments a;
  app.add_option("--model", a.model, "a model of the data, or a part of its name")->type_name("MODEL");
  app.add_option("--streams", a.streams, "at once")->check(CLI::Range(1, 100'000))->type_name("N");
  app.add_option("--ttft", a.ttft, "mean time to the first token, at most (2s)")->type_name("DURATION");
  app.add_option("--tpot", a.tpot, "mean time per further token, at most (100ms)")->type_name("DURATION");
  app.add_option("--input", a.input, "prompt tokens of a request (1024)")->check(CLI::Range(1, 1 << 20));
  app.add_option("--output", a.output, "output tokens of a request (1024)")->check(CLI::Range(2, 1 << 20));
  app.add_option("--tenant", a.tenants, "NAME=PEAK@HOUR, again for each; instead of --streams")
      ->type_name("DEMAND");
  app.add_option("--quantile", a.quantile, "of the time that tenants' summed demand must fit (0.99)")
      ->check(CLI::Range(0.5, 0.99999));
  app.add_option("--sites", a.sites, "what stands where, at what price")->type_name("FILE");
  app.add_option("--data", a.data, "further cards/, models/ and profiles/")->type_name("FOLDER");
  app.add_flag("--json", a.json, "print JSON rather than text");
  CLI::App* published = app.add_subcommand("tables", "published tables beside predictions");
  published->add_option("file", a.table, "cards.json of the white paper's data")->required();
  published->fallthrough();
  return run_command(app, argc, argv, [&] {
    if (published->parsed()) return tables(a);
    if (a.model.empty())
      throw CommandError{kWrongUsage, "--model is required", "qanat plan --help has examples"};
    return plan(a);
  });
}

}  // namespace qanat::cli
