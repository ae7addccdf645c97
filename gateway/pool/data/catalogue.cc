#include "gateway/pool/data/catalogue.hh"

#include <fmt/format.h>
#include <strings.h>
#define TOML_EXCEPTIONS 0  // as in base: the two modes do not mix in one program
#include <toml++/toml.h>

#include <cstdlib>
#include <set>

namespace qanat::pool {
namespace {

// Reads the keys of one table, each exactly once, and reports what is missing, wrong or unknown.
class Reader {
 public:
  Reader(std::string_view file, const toml::table& table, std::string prefix,
         std::vector<std::string>& problems)
      : file_(file), table_(table), prefix_(std::move(prefix)), problems_(problems) {}

  void text(const char* key, std::string& out) {
    seen_.insert(key);
    if (const auto value = table_[key].value<std::string>(); value && !value->empty())
      out = *value;
    else
      problem(key, "missing or not a string, expected a non-empty string");
  }
  void number(const char* key, double& out, double low, double high) {
    seen_.insert(key);
    const auto value = table_[key].value<double>();
    if (value && *value >= low && *value <= high)
      out = *value;
    else
      problem(key, fmt::format("missing or out of range, expected a number from {} to {}", low, high));
  }
  void count(const char* key, std::uint32_t& out, std::uint32_t high) {
    seen_.insert(key);
    const auto value = table_[key].value<std::int64_t>();
    if (value && *value >= 1 && *value <= high)
      out = static_cast<std::uint32_t>(*value);
    else
      problem(key, fmt::format("missing or out of range, expected an integer from 1 to {}", high));
  }
  const toml::table* table(const char* key) {
    seen_.insert(key);
    const auto* value = table_[key].as_table();
    if (!value) problem(key, "missing, expected a table");
    return value;
  }
  void reject_unknown() {
    for (const auto& [key, node] : table_)
      if (!seen_.contains(std::string(key.str()))) problem(std::string(key.str()), "unknown key");
  }

 private:
  void problem(std::string_view key, std::string_view what) {
    problems_.push_back(fmt::format("{}: {}{}: {}", file_, prefix_, key, what));
  }
  std::string_view file_;
  const toml::table& table_;
  std::string prefix_;
  std::vector<std::string>& problems_;
  std::set<std::string> seen_;
};

std::optional<toml::table> parse(std::string_view file, std::string_view text,
                                 std::vector<std::string>& problems) {
  toml::parse_result result = toml::parse(text, file);
  if (result) return std::move(result).table();
  problems.push_back(
      fmt::format("{}:{}: {}", file, result.error().source().begin.line, result.error().description()));
  return std::nullopt;
}

template <class Map>
const typename Map::mapped_type* find(const Map& map, std::string_view name) {
  for (const auto& [key, value] : map)
    if (key.size() == name.size() && strncasecmp(key.data(), name.data(), name.size()) == 0) return &value;
  return nullptr;
}

}  // namespace

const Card* Catalogue::card(std::string_view name) const { return find(cards, name); }
const Model* Catalogue::model(std::string_view name) const { return find(models, name); }

std::vector<std::string> add_card(Catalogue& catalogue, std::string_view file, std::string_view text) {
  std::vector<std::string> problems;
  const auto table = parse(file, text, problems);
  if (!table) return problems;
  Card card;
  Reader reader(file, *table, "", problems);
  reader.text("name", card.name);
  reader.text("vendor", card.vendor);
  reader.number("peak_tflops", card.peak_tflops, 1, 1e5);
  reader.number("memory_gb", card.memory_gb, 1, 1e4);
  reader.number("memory_gb_per_s", card.memory_gb_per_s, 10, 1e5);
  reader.text("link", card.link);
  reader.number("link_gb_per_s", card.link_gb_per_s, 1, 1e5);
  reader.number("watts", card.watts, 1, 1e4);
  if (const auto* fit = reader.table("fit")) {
    Reader fitted(file, *fit, "fit.", problems);
    fitted.number("compute_efficiency", card.fit.compute_efficiency, 0.01, 0.95);
    fitted.number("bandwidth_efficiency", card.fit.bandwidth_efficiency, 0.01, 0.95);
    fitted.number("step_overhead_us", card.fit.step_overhead_us, 0, 1e5);
    fitted.number("sequence_overhead_us", card.fit.sequence_overhead_us, 0, 1e4);
    fitted.number("link_latency_us", card.fit.link_latency_us, 0, 1e4);
    fitted.reject_unknown();
  }
  reader.reject_unknown();
  if (problems.empty() && !catalogue.cards.emplace(card.name, card).second)
    problems.push_back(fmt::format("{}: name: a card \"{}\" exists already", file, card.name));
  return problems;
}

std::vector<std::string> add_model(Catalogue& catalogue, std::string_view file, std::string_view text) {
  std::vector<std::string> problems;
  const auto table = parse(file, text, problems);
  if (!table) return problems;
  Model model;
  Reader reader(file, *table, "", problems);
  reader.text("name", model.name);
  reader.count("layers", model.layers, 1000);
  reader.count("hidden", model.hidden, 1 << 20);
  reader.count("heads", model.heads, 4096);
  reader.count("kv_heads", model.kv_heads, 4096);
  reader.count("head_dim", model.head_dim, 4096);
  reader.count("intermediate", model.intermediate, 1 << 22);
  reader.count("vocabulary", model.vocabulary, 1 << 24);
  reader.count("context", model.context, 1 << 24);
  reader.reject_unknown();
  if (problems.empty() && !catalogue.models.emplace(model.name, model).second)
    problems.push_back(fmt::format("{}: name: a model \"{}\" exists already", file, model.name));
  return problems;
}

const Catalogue& built_in() {
  static const Catalogue catalogue = [] {
    Catalogue result;
    for (std::size_t i = 0; i < kDataFileCount; ++i) {
      const auto& [name, text] = kDataFiles[i];
      const auto problems =
          name.starts_with("cards/") ? add_card(result, name, text) : add_model(result, name, text);
      for (const auto& problem : problems) fmt::print(stderr, "embedded {}\n", problem);
      if (!problems.empty()) std::abort();
    }
    return result;
  }();
  return catalogue;
}

}  // namespace qanat::pool
