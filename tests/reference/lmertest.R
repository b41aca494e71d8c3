# Writes the answers of lme4 and lmerTest that tests/test_fit_reference.py compares with:
# Rscript lmertest.R, in this folder, after lme4.R. Made by lme4 1.1-31, lmerTest 3.1-3, R 4.2.2.
suppressMessages(library(lmerTest))

tight <- lmerControl(
  optimizer = "bobyqa",
  optCtrl = list(rhobeg = 1e-3, rhoend = 1e-12, maxfun = 1e5),
  check.conv.singular = "ignore", check.conv.grad = "ignore", check.conv.hess = "ignore"
)

# Weights and a factor are functions of the rows, so that any language can make them again.
data <- read.csv("lme4_data.csv")
data$row <- ave(data$y, data$data, FUN = seq_along)
data$weight <- 0.5 + (data$row * 7) %% 5
data$arm <- c("a", "b", "c")[1 + data$group2 %% 3]
data$high <- ifelse(data$group1 %% 2 == 0, "yes", "no")

formulas <- list(
  intercept = y ~ 1 + (1 | group1 / group2),
  arms = y ~ arm + high + x + (1 | group1 / group2)
)

best <- function(formula, frame, reml, weights, starts = list(c(1, 1), c(.01, 1), c(1, .01), c(0, 0))) {
  frame$w <- if (weights) frame$weight else rep(1, nrow(frame))
  fits <- lapply(starts, function(theta) {
    lmer(formula, frame, REML = reml, control = tight, start = theta, weights = w)
  })
  fits[[which.max(sapply(fits, logLik))]]
}

fixed <- variances <- effects <- list()
for (name in c("pastes", paste0("simulated", c(1, 3, 5)))) {
  for (model in if (name == "pastes") "intercept" else names(formulas)) {
    for (reml in c(TRUE, FALSE)) {
      for (weighted in c(FALSE, TRUE)) {
        frame <- data[data$data == name, ]
        fit <- best(formulas[[model]], frame, reml, weighted)
        case <- data.frame(data = name, model = model, reml = reml, weighted = weighted)
        table <- coef(summary(fit))
        fixed[[length(fixed) + 1]] <- cbind(case, name = rownames(table), as.data.frame(table))
        parts <- as.data.frame(VarCorr(fit))
        without <- update(formulas[[model]], . ~ . - (1 | group1 / group2) + (1 | group1:group2))
        null <- best(without, frame, reml, weighted, list(1, .01, 0))
        variances[[length(variances) + 1]] <- cbind(
          case,
          group1_var = parts$vcov[parts$grp == "group1"],
          group2_var = parts$vcov[parts$grp == "group2:group1"],
          unexplained_var = parts$vcov[parts$grp == "Residual"],
          llf = as.numeric(logLik(fit)),
          fitted_first = fitted(fit)[[1]], fitted_last = fitted(fit)[[nrow(frame)]],
          residual_first = residuals(fit)[[1]],
          lrt_group1 = max(0, 2 * as.numeric(logLik(fit) - logLik(null)))
        )
        if (reml && model == "intercept" && name %in% c("pastes", "simulated5")) {
          modes <- as.data.frame(ranef(fit, condVar = TRUE))
          effects[[length(effects) + 1]] <- cbind(case, modes[c("grpvar", "grp", "condval", "condsd")])
        }
      }
    }
  }
}

write_all <- function(parts, path) {
  table <- do.call(rbind, parts)
  numbers <- sapply(table, is.numeric)
  table[numbers] <- lapply(table[numbers], function(value) sprintf("%.12g", value))
  write.csv(table, path, row.names = FALSE, quote = FALSE)
}
dyestuff <- as.data.frame(ranef(lmer(Yield ~ 1 + (1 | Batch), Dyestuff, control = tight)))
effects[[length(effects) + 1]] <- cbind(
  data = "dyestuff", model = "intercept", reml = TRUE, weighted = FALSE,
  dyestuff[c("grpvar", "grp", "condval", "condsd")]
)
write_all(fixed, "lmertest_fixed.csv")
write_all(variances, "lmertest_variances.csv")
write_all(effects, "lmertest_effects.csv")
