//! HTTP as every component speaks it: problems, ETags, limits, pages, health.
