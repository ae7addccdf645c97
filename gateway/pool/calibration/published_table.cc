#include "gateway/pool/calibration/published_table.hh"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

namespace qanat::pool {
namespace {

using Json = nlohmann::json;

constexpr std::pair<const char*, const char*> kColumns[] = {{"32B", "deepseek-r1-distill-qwen-32b"},
                                                            {"70B", "deepseek-r1-distill-llama-70b"}};

bool lists(const Json& names, const std::string& name) {
  return names.is_array() && std::ranges::find(names, Json(name)) != names.end();
}

}  // namespace

std::vector<PublishedRow> PublishedTable::of_card(std::string_view card) const {
  std::vector<PublishedRow> result;
  for (const auto& row : rows)
    if (row.card == card) result.push_back(row);
  return result;
}

std::vector<std::string> PublishedTable::cards() const {
  std::vector<std::string> names;
  for (const auto& row : rows)
    if (std::ranges::find(names, row.card) == names.end()) names.push_back(row.card);
  return names;
}

PublishedTable read_published_table(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::system_error(errno, std::generic_category(), "cannot open " + path);
  const Json json = Json::parse(file);
  const Json& sla = json.at("sla_match_32B_concurrency_32");
  PublishedTable table;
  table.sla_ttft_s = sla.at("sla").at("ttft_mean_s");
  table.sla_tpot_s = sla.at("sla").at("tpot_mean_ms").get<double>() / 1000;
  // "all tested but A-4, B-4, B-8"
  const std::string exceptions = sla.at("tpot_ok").get<std::string>() + ",";
  for (const auto& row : json.at("max_concurrency_at_15_tokens_per_s_per_stream")) {
    for (const auto& [column, model] : kColumns) {
      if (!row.contains(column)) continue;
      PublishedRow out;
      out.card = row.at("card");
      out.model = model;
      out.cards = row.at("cards");
      out.runs = row.at(column).is_number();
      if (out.runs) out.concurrency = row.at(column);
      if (out.runs && std::string_view(column) == "32B") {
        const std::string name = out.card + "-" + std::to_string(out.cards);
        out.ttft_ok = lists(sla.at("ttft_ok"), name);
        out.tpot_ok = exceptions.find(" " + name + ",") == std::string::npos;
      }
      table.rows.push_back(out);
    }
  }
  return table;
}

LoadTest published_test(const Card& card, const Catalogue& catalogue) {
  LoadTest test;
  test.limits.context = 5000;
  if (const Profile* profile = catalogue.profile(card.profile)) test.limits.profile = *profile;
  return test;
}

}  // namespace qanat::pool
