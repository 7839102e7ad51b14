// The types that Grafana publishes for its dashboards, as JSON has them: `panels.py schema` prints what is checked.
import type * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import type * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import type * as stat from '@grafana/grafana-foundation-sdk/stat';
import type * as table from '@grafana/grafana-foundation-sdk/table';
import type * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';

// An enumeration of words is its words; functions are not in JSON.
type Json<T> = 0 extends 1 & T ? T
  : T extends string ? `${T}`
  : T extends (infer Item)[] ? Json<Item>[]
  : T extends object ? { [Key in keyof T as Key extends '_implementsDataqueryVariant' ? never : Key]: Json<T[Key]> }
  : T;

type With<Type extends string, Options, Custom> = Omit<Json<dashboard.Panel>, 'options' | 'fieldConfig' | 'targets' | 'type'> & {
  type: Type;
  targets: (Json<prometheus.Dataquery> & { refId: string; datasource: object })[];
  options: Json<Options>;
  fieldConfig: {
    defaults: Omit<Json<dashboard.FieldConfig>, 'custom'> & { custom?: Json<Custom> };
    overrides: Json<dashboard.FieldConfigSource['overrides']>;
  };
};

type Panel =
  | With<'timeseries', timeseries.Options, timeseries.FieldConfig>
  | With<'stat', stat.Options, never>
  | With<'table', table.Options, table.FieldConfig>
  | Json<dashboard.RowPanel>;

export type GrafanaDashboard = Omit<Json<dashboard.Dashboard>, 'panels'> & { panels: Panel[] };
