#include "gateway/pool/calibration/published_table.hh"

#include <cerrno>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>

namespace qanat::pool {

std::vector<PublishedRow> read_published_table(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::system_error(errno, std::generic_category(), "cannot open " + path);
  const auto table = nlohmann::json::parse(file);
  const std::map<std::string, std::string> models{{"32B", "deepseek-r1-distill-qwen-32b"},
                                                  {"70B", "deepseek-r1-distill-llama-70b"}};
  std::vector<PublishedRow> rows;
  for (const auto& row : table.at("max_concurrency_at_15_tokens_per_s_per_stream")) {
    for (const auto& [column, model] : models) {
      if (!row.contains(column)) continue;
      PublishedRow out{row.at("card"), model, row.at("cards"), 0, row.at(column).is_number()};
      if (out.runs) out.concurrency = row.at(column);
      rows.push_back(out);
    }
  }
  return rows;
}

}  // namespace qanat::pool
