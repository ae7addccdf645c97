// qanat-pool-calibrate: a card's five numbers from measurements, and how well they predict what they were not fitted
// on. Two kinds of measurement: a published table of concurrencies (each row is left out once), and per-request times
// of real servers (each run is predicted by a fit to the others).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <string>
#include <vector>

#include "gateway/pool/calibration/report.hh"

namespace {

using namespace qanat::pool;

int to_table(const std::string& path, const std::string& only, bool leave_out, const Catalogue& catalogue) {
  const PublishedTable table = read_published_table(path);
  std::vector<double> fitted, unseen;
  int class_wrong = 0, sla_wrong = 0;
  for (const std::string& name : table.cards()) {
    const Card* card = catalogue.card(name);
    if (!only.empty() && catalogue.card(only) != card) continue;
    if (!card) {
      fmt::print(stderr,
                 "qanat-pool-calibrate: no card \"{}\" is known; add cards/NAME.toml to a --data folder\n",
                 name);
      continue;
    }
    const auto [fit, errors] = fit_and_judge(*card, table, catalogue, leave_out);
    fmt::print("# {}\n{}{}\n", name, to_toml(fit), errors.text);
    fitted.insert(fitted.end(), errors.fitted_pct.begin(), errors.fitted_pct.end());
    unseen.insert(unseen.end(), errors.unseen_pct.begin(), errors.unseen_pct.end());
    class_wrong += errors.class_wrong;
    sla_wrong += errors.sla_wrong;
  }
  double sum = 0;
  for (const double error : fitted) sum += error;
  if (!fitted.empty())
    fmt::print("fitted: mean absolute error {:.1f} %, worst {:.1f} % over {} rows\n",
               sum / double(fitted.size()), *std::ranges::max_element(fitted), fitted.size());
  if (!unseen.empty()) {
    std::ranges::sort(unseen);
    fmt::print("unseen: median absolute error {:.1f} %\n", unseen[unseen.size() / 2]);
  }
  fmt::print("classes wrong {}, SLA verdicts wrong {}\n", class_wrong, sla_wrong);
  return 0;
}

int to_runs(const std::vector<std::string>& folders, const Catalogue& catalogue) {
  std::vector<GoldenRun> runs;
  for (const auto& folder : folders) runs.push_back(read_golden_run(folder, catalogue));
  const auto show = [&](const GoldenRun& run, const CardFit& fit) {
    Card card = *catalogue.card(run.card);
    card.fit = fit;
    fmt::print("{}", describe(run, score(run, replay(run, card, *catalogue.model(run.model)))));
  };
  for (std::size_t i = 0; i < runs.size(); ++i) {
    std::vector<GoldenRun> same;
    std::vector<GoldenRun> others;
    for (std::size_t j = 0; j < runs.size(); ++j)
      if (runs[j].card == runs[i].card) (j == i ? same : others).push_back(runs[j]);
    same.insert(same.end(), others.begin(), others.end());
    const Card& card = *catalogue.card(runs[i].card);
    const CardFit all = fit_to_runs(card, same, catalogue);
    fmt::print("# {}, fitted on all {} runs of the card\n{}", runs[i].card, same.size(), to_toml(all));
    show(runs[i], all);
    if (others.empty()) continue;
    fmt::print("# the same run, unseen: fitted on the {} other(s)\n", others.size());
    show(runs[i], fit_to_runs(card, others, catalogue));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app{
      "Fits a card's five numbers to measurements and says how well they predict what they did not see."};
  app.require_subcommand(1);
  std::string data;
  app.add_option("--data", data, "a folder with further cards/, models/ and profiles/");
  std::string path, only;
  bool quick = false;
  auto* table =
      app.add_subcommand("table", "fit to a table of largest concurrencies, leaving each row out once");
  table->add_option("CARDS_JSON", path, "the table")->required();
  table->add_option("--card", only, "only this card");
  table->add_flag("--no-leave-out", quick, "only the fit to all rows");
  std::vector<std::string> folders;
  auto* runs =
      app.add_subcommand("runs", "fit to per-request times of real servers, predicting each from the others");
  runs->add_option("FOLDER", folders, "folders with requests.jsonl, meta.json and config.json")->required();
  CLI11_PARSE(app, argc, argv);
  Catalogue catalogue = built_in();
  if (!data.empty()) {
    const auto problems = add_folder(catalogue, data);
    for (const auto& problem : problems) fmt::print(stderr, "{}\n", problem);
    if (!problems.empty()) return 2;
  }
  return *table ? to_table(path, only, !quick, catalogue) : to_runs(folders, catalogue);
} catch (const std::exception& error) {
  fmt::print(stderr, "qanat-pool-calibrate: {}\n", error.what());
  return 1;
}
