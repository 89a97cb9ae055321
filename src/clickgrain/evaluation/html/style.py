"""The look of reports: light and dark, desktop, phone and paper."""

STYLE = """
:root{--ground:#fbfbf9;--card:#fff;--ink:#1d2125;--soft:#5b636b;--line:#dfe1dd;--accent:#0067b8;--best:#e8f1f9;--warn:#c98a00;
--hatch-card:#f4f4f0;--hatch:repeating-linear-gradient(135deg,#f4f4f0 0 6px,#f9f9f6 6px 12px);
--s0:#0072b2;--s1:#c75000;--s2:#00815c;--s3:#a64d86;--s4:#8a6500;--s5:#5a5f66}
@media (prefers-color-scheme:dark){:root{--ground:#14171a;--card:#1c2024;--ink:#e8eaec;--soft:#a3abb3;
--line:#343a40;--accent:#6cb8f5;--best:#20354a;--warn:#d5a021;--hatch-card:#181b1f;
--hatch:repeating-linear-gradient(135deg,#181b1f 0 6px,#1b1f23 6px 12px);
--s0:#62b5ec;--s1:#ff9455;--s2:#43cfa2;--s3:#e79ccb;--s4:#e8bd4a;--s5:#b4bac1}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",sans-serif}
main{max-width:1080px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:2.1rem;line-height:1.15;margin:0 0 .4em;letter-spacing:-.02em}
h2{font-size:1.3rem;line-height:1.25;margin:0 0 .5em;letter-spacing:-.01em}
h3{font-size:1rem;margin:1.6em 0 .5em}
p{margin:0 0 1em;max-width:70ch}
.lead{font-size:1.12rem;color:var(--soft)}
section{margin-top:44px;padding-top:26px;border-top:1px solid var(--line)}
section:first-of-type{border-top:0;margin-top:20px;padding-top:0}
.soft,figcaption,.tile small,footer{color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:14px;margin:0 0 18px}
.tile{background:var(--card);border:1px solid var(--line);border-left:5px solid var(--series);border-radius:8px;
padding:14px 16px}
.tile b{display:block;font-size:2.1rem;line-height:1.1;font-weight:650;font-variant-numeric:tabular-nums}
.tile span{display:block;font-weight:600;margin-top:4px}
.tile small{display:block;font-size:.87rem;line-height:1.4}
.scroll{overflow-x:auto;margin:0 0 14px;border:1px solid var(--line);border-radius:8px;background:var(--card)}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:8px 9px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
tr:last-child td,tbody tr:last-child th{border-bottom:0}
thead th{font-weight:600;color:var(--soft);font-size:.85rem;vertical-align:bottom}
th:first-child,td:first-child{padding-left:14px;text-align:left;position:sticky;left:0;background:var(--card)}
tbody th{font-weight:600}
td.best{background:var(--best);font-weight:650}
td small,th small{display:block;font-weight:400;font-size:.78rem;line-height:1.25;color:var(--soft)}
.comparison th,.comparison td{padding:7px 8px}.comparison{font-size:.87rem}
.published{font-style:italic}.published tr{background:var(--hatch)}
.published th:first-child,.published td:first-child{background:var(--hatch-card)}
.published th{font-weight:500}.published td,.published th{color:var(--soft)}
.published tr:first-child>*{border-top:2px solid var(--line);font-style:normal;padding-top:10px}
.published .kind{font-size:.82rem;font-weight:600}
.published th small{display:inline;margin-left:.6em;font-style:normal;font-size:.7rem;border:1px solid var(--line);
border-radius:9px;padding:1px 7px}
.bars thead .group{text-align:center;border-left:1px solid var(--line)}
.bars thead tr+tr th:first-child{text-align:right;padding-left:9px;position:static}
.bars td{min-width:74px}
.bars .bar{padding-bottom:12px;background:linear-gradient(var(--series),var(--series)) no-repeat
left 9px bottom 5px/calc((100% - 18px)*var(--share)) 4px}
.caveat{border:1px solid var(--warn);border-left-width:5px;border-radius:8px;padding:10px 14px;margin:0 0 16px;
background:var(--card);max-width:76ch}
.caveat p{margin:0}.caveat p+p{margin-top:6px}
.remarks{margin:0 0 16px;padding-left:1.2em;max-width:72ch}
.remarks li{margin:2px 0}
h4{font-size:.9rem;margin:1.1em 0 .4em}
.groups{display:grid;grid-template-columns:repeat(auto-fill,minmax(440px,1fr));gap:6px 28px;margin:0 0 18px}
.strip{display:grid;grid-template-columns:repeat(4,1fr);gap:10px}
.strip img{height:80px;width:100%;object-fit:contain}.strip b{display:block}
.strip figcaption{font-size:.78rem;padding-top:3px}
.key{display:inline-block;width:.7em;height:.7em;border-radius:2px;background:var(--series);margin-right:.5em}
.chart{margin:0 0 14px;max-width:760px}
.plot{overflow:hidden;background:var(--card);border:1px solid var(--line);border-radius:8px}
.chart svg{display:block;width:100%;height:auto}
.chart text{fill:var(--soft);font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.chart .name{font-weight:600;fill:var(--series)}
.chart .grid{stroke:var(--line);stroke-width:1}
.chart .curve{fill:none;stroke:var(--series);stroke-width:2.5;stroke-linejoin:round}
.chart .dot{fill:var(--series);stroke:var(--card);stroke-width:1}
.legend{display:flex;flex-wrap:wrap;gap:4px 20px;list-style:none;margin:0 0 8px;padding:0;font-size:.92rem}
.gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(var(--cell,200px),1fr));gap:16px 14px;
margin:0 0 18px;align-items:start}
figure{margin:0}
figure img{display:block;width:auto;max-width:100%;height:auto;max-height:360px;
border-radius:6px;background:var(--line)}
figcaption{font-size:.87rem;line-height:1.4;padding-top:6px;overflow-wrap:anywhere}
figcaption b{color:var(--ink)}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;margin:0 0 16px;font-size:.93rem}
.facts dt{color:var(--soft)}.facts dd{margin:0;overflow-wrap:anywhere}
pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px;
white-space:pre-wrap;overflow-wrap:anywhere;
font:.87rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;margin:0 0 16px}
details{margin:0 0 16px}summary{cursor:pointer;color:var(--accent);padding:4px 0}
footer{margin-top:48px;font-size:.87rem}
.c0{--series:var(--p0,var(--s0))}.c1{--series:var(--p1,var(--s1))}.c2{--series:var(--p2,var(--s2))}
.c3{--series:var(--p3,var(--s3))}.c4{--series:var(--p4,var(--s4))}.c5{--series:var(--p5,var(--s5))}
@media (max-width:600px){main{padding:24px 16px 40px}h1{font-size:1.65rem}section{margin-top:32px;padding-top:20px}
.gallery{grid-template-columns:repeat(2,1fr);gap:12px 10px}.gallery.wide{grid-template-columns:1fr}
.chart text{font-size:17px}.chart .name{display:none}.named svg{width:123%}.facts{grid-template-columns:1fr;gap:0}
.groups{grid-template-columns:1fr}.strip img{height:64px}
th:first-child{white-space:normal;min-width:126px;max-width:150px}
th .key{float:left;margin-top:.45em}
.published .kind{max-width:none;white-space:nowrap}
.published th small{display:block;width:max-content;margin:2px 0 0}

.facts dd{margin-bottom:8px}.tiles{grid-template-columns:1fr;gap:10px}th,td{padding:7px 10px}}
@media print{:root{--ground:#fff}main{max-width:none;padding:0}figure,.tile,.chart,tr{break-inside:avoid}
h2,h3{break-after:avoid}.scroll{overflow:visible}pre{white-space:pre-wrap}}
"""
