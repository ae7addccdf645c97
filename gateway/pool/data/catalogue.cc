#include "gateway/pool/data/catalogue.hh"

#include <fmt/format.h>
#include <strings.h>
#define TOML_EXCEPTIONS 0  // as in base: the two modes do not mix in one program
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <system_error>

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
  // Optional keys: `out` stays as it is when the key is not there.
  void text_if(const char* key, std::string& out) {
    if (table_.contains(key)) text(key, out);
  }
  void number_if(const char* key, double& out, double low, double high) {
    if (table_.contains(key)) number(key, out, low, high);
  }
  void count_if(const char* key, std::uint32_t& out, std::uint32_t high) {
    if (table_.contains(key)) count(key, out, high);
  }
  void flag_if(const char* key, bool& out) {
    seen_.insert(key);
    if (!table_.contains(key)) return;
    if (const auto value = table_[key].value_exact<bool>())
      out = *value;
    else
      problem(key, "expected true or false");
  }
  // The tables below call `read` with a reader of their own, which then rejects what was not asked for.
  template <class Read>
  void table(const char* key, bool required, Read read) {
    seen_.insert(key);
    if (!required && !table_.contains(key)) return;
    const auto* value = table_[key].as_table();
    if (!value) return problem(key, "missing or not a table, expected a table");
    Reader below(file_, *value, prefix_ + key + ".", problems_);
    read(below);
    below.reject_unknown();
  }
  void problem(std::string_view key, std::string_view what) {
    problems_.push_back(fmt::format("{}: {}{}: {}", file_, prefix_, key, what));
  }
  void reject_unknown() {
    for (const auto& [key, node] : table_)
      if (!seen_.contains(std::string(key.str()))) problem(std::string(key.str()), "unknown key");
  }

 private:
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
const Profile* Catalogue::profile(std::string_view name) const { return find(profiles, name); }

std::vector<std::string> add_card(Catalogue& catalogue, std::string_view file, std::string_view text) {
  std::vector<std::string> problems;
  const auto table = parse(file, text, problems);
  if (!table) return problems;
  Card card;
  Reader reader(file, *table, "", problems);
  reader.text("name", card.name);
  reader.text("vendor", card.vendor);
  reader.table("peak_tflops", true, [&](Reader& peak) {
    peak.number_if("bf16", card.bf16_tflops, 1, 1e5);
    peak.number_if("fp16", card.fp16_tflops, 1, 1e5);
    peak.number_if("fp8", card.fp8_tflops, 1, 1e5);
    if (card.bf16_tflops == 0 && card.fp16_tflops == 0)
      peak.problem("bf16", "no 16-bit peak, expected bf16 or fp16, dense TFLOPS");
  });
  reader.number("memory_gb", card.memory_gb, 1, 1e4);
  reader.number("memory_gb_per_s", card.memory_gb_per_s, 10, 1e5);
  reader.text("link", card.link);
  reader.number("link_gb_per_s", card.link_gb_per_s, 1, 1e5);
  reader.number_if("link_hop_us", card.link_hop_us, 0.1, 1000);
  reader.number_if("host_gb_per_s", card.host_gb_per_s, 0.1, 1e4);
  reader.number("watts", card.watts, 1, 1e4);
  reader.text_if("profile", card.profile);
  reader.table("fit", true, [&](Reader& fit) {
    fit.number("compute_efficiency", card.fit.compute_efficiency, 0.01, kMaxEfficiency);
    fit.number("bandwidth_efficiency", card.fit.bandwidth_efficiency, 0.01, kMaxEfficiency);
    fit.number("step_overhead_us", card.fit.step_overhead_us, 0, 1e6);
    fit.number("sequence_overhead_us", card.fit.sequence_overhead_us, 0, 1e5);
    fit.number("link_latency_us", card.fit.link_latency_us, 0, 1e5);
  });
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
  std::string dtype = "bf16";
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
  reader.flag_if("tied_embeddings", model.tied_embeddings);
  reader.text_if("dtype", dtype);
  if (dtype == "fp8")
    model.dtype = Dtype::Fp8;
  else if (dtype == "fp16")
    model.dtype = Dtype::Fp16;
  else if (dtype != "bf16")
    reader.problem("dtype", "expected \"bf16\", \"fp16\" or \"fp8\"");
  reader.table("moe", false, [&](Reader& moe) {
    moe.count("experts", model.experts, 1 << 16);
    moe.count("experts_per_token", model.experts_per_token, 1 << 10);
    moe.count("intermediate", model.expert_intermediate, 1 << 22);
    moe.count_if("shared_experts", model.shared_experts, 1 << 10);
    moe.count_if("dense_layers", model.dense_layers, 1000);
    if (model.experts_per_token > model.experts)
      moe.problem("experts_per_token", fmt::format("more than the {} experts", model.experts));
    if (model.dense_layers > model.layers)
      moe.problem("dense_layers", fmt::format("more than the {} layers", model.layers));
  });
  reader.table("latent_attention", false, [&](Reader& latent) {
    latent.count("kv_lora_rank", model.kv_lora_rank, 1 << 16);
    latent.count_if("q_lora_rank", model.q_lora_rank, 1 << 16);
    latent.count("rope_dim", model.rope_dim, 4096);
  });
  reader.reject_unknown();
  if (problems.empty() && !catalogue.models.emplace(model.name, model).second)
    problems.push_back(fmt::format("{}: name: a model \"{}\" exists already", file, model.name));
  return problems;
}

std::vector<std::string> add_profile(Catalogue& catalogue, std::string_view file, std::string_view text) {
  std::vector<std::string> problems;
  const auto table = parse(file, text, problems);
  if (!table) return problems;
  Profile profile;
  Reader reader(file, *table, "", problems);
  reader.text("name", profile.name);
  reader.flag_if("chunked_prefill", profile.chunked_prefill);
  reader.flag_if("prefill_first", profile.prefill_first);
  reader.flag_if("prefix_cache", profile.prefix_cache);
  reader.flag_if("priority_preempts", profile.priority_preempts);
  reader.number_if("host_factor", profile.host_factor, 0.01, 100);
  if (profile.prefill_first && profile.chunked_prefill)
    reader.problem("prefill_first", "true beside chunked_prefill, expected chunked_prefill = false with it");
  reader.reject_unknown();
  if (problems.empty() && !catalogue.profiles.emplace(profile.name, profile).second)
    problems.push_back(fmt::format("{}: name: a profile \"{}\" exists already", file, profile.name));
  return problems;
}

namespace {

std::vector<std::string> add(Catalogue& catalogue, std::string_view kind, std::string_view file,
                             std::string_view text) {
  if (kind == "cards") return add_card(catalogue, file, text);
  if (kind == "models") return add_model(catalogue, file, text);
  return add_profile(catalogue, file, text);
}

}  // namespace

std::vector<std::string> add_folder(Catalogue& catalogue, const std::string& folder) {
  namespace fs = std::filesystem;
  if (std::error_code error; !fs::is_directory(folder, error))
    throw std::system_error(error ? error : std::make_error_code(std::errc::not_a_directory),
                            "cannot read the data folder " + folder);
  std::vector<std::string> problems;
  for (const char* kind : {"cards", "models", "profiles"}) {
    const fs::path below = fs::path(folder) / kind;
    if (!fs::is_directory(below)) continue;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(below))
      if (entry.path().extension() == ".toml") files.push_back(entry.path());
    std::ranges::sort(files);
    for (const auto& path : files) {
      std::ifstream file(path);
      std::ostringstream text;
      text << file.rdbuf();
      if (!file) throw std::system_error(errno, std::generic_category(), "cannot read " + path.string());
      std::ranges::move(add(catalogue, kind, path.string(), text.str()), std::back_inserter(problems));
    }
  }
  return problems;
}

const Catalogue& built_in() {
  static const Catalogue catalogue = [] {
    Catalogue result;
    for (std::size_t i = 0; i < kDataFileCount; ++i) {
      const auto& [name, text] = kDataFiles[i];
      const auto problems = add(result, name.substr(0, name.find('/')), name, text);
      for (const auto& problem : problems) fmt::print(stderr, "embedded {}\n", problem);
      if (!problems.empty()) std::abort();
    }
    return result;
  }();
  return catalogue;
}

}  // namespace qanat::pool
