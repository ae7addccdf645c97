// GradeRows: the grades' part of the books: a row for each gateway, tenant, model and day, and the misses themselves for
// a month. Several gateways that share their books each write their own rows; who reads gets their sum.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/meter/grade_book.hh"
#include "gateway/meter/store.hh"

namespace qanat::meter {

class GradeRows {
 public:
  static constexpr std::int64_t kGradesFor_ms = 400LL * 86'400'000;
  static constexpr std::int64_t kMissesFor_ms = 31LL * 86'400'000;

  // Its tables, when there are none.
  static void create(Store& store);
  GradeRows(Store& store, std::string gateway) : store_(store), gateway_(std::move(gateway)) {}

  // Adds to what is there; durable on return.
  void add(const GradeBook::Gathered& gathered);
  // What is older than it is kept for goes.
  void forget(std::int64_t now_unix_ms);

  struct Row {
    std::string tenant, model;
    Grade grade;
  };
  // Of the days from that of `since_unix_ms` on. An empty tenant asks for all.
  std::vector<Row> grades(const std::string& tenant, std::int64_t since_unix_ms);
  // The latest first.
  std::vector<MissLine> misses(const std::string& tenant, std::int64_t since_unix_ms, std::size_t limit);

 private:
  Store& store_;
  std::string gateway_;
};

}  // namespace qanat::meter
