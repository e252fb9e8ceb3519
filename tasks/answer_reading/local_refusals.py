"""Refusals in other languages than English: "I cannot help", "we are not able to provide", said by the model of itself."""

from __future__ import annotations

import re

DECLINES = {
    "ar": r"لا\s(?:يمكنني|أستطيع|يمكننا)\s(?:\S+\s)?(?:مساعد|المساعدة|تقديم|تلبية|الإجابة|أساعد)",
    "de": r"\b(?:(?:kann|werde|darf)\sich|ich\s(?:kann|werde|darf)|können\swir"
    r"|wir\skönnen)\s(?:\w+\s){0,5}?(?:nicht|keine?n?)\s"
    r"(?:\w+\s){0,5}?(?:(?:weiter)?helfen|unterstützen|behilflich|bereitstellen|geben|anbieten"
    r"|beantworten|erfüllen|nachkommen)\b",
    "es": r"\bno\s(?:puedo|podemos|podré|me\ses\sposible|estoy\sen\scondiciones\sde)\s(?:\w+\s){0,2}"
    r"(?:ayud|asist|proporcion|ofrec|dar|brind|cumpl|respond|facilit|apoy|particip|hacer\s(?:eso|esto))",
    "fr": r"\bne\s(?:peux|pouvons|pourrai|suis)\spas\s(?:\w+[\s']){0,4}?"
    r"(?:aid|assist|fourni|offr|donn|répond|satisf|partag|particip|faire\s(?:cela|ça))",
    "hi": r"(?:मदद|सहायता|जानकारी)\s(?:\S+\s)?नहीं\s(?:कर|दे)\sसक",
    "id": r"\b(?:saya|kami)\s(?:tidak|tak)\s(?:bisa|dapat)\s(?:\w+\s)?(?:membantu|memberi|menyediakan|memenuhi|menjawab)",
    "it": r"\bnon\s(?:posso|possiamo|sono\sin\sgrado\sdi)\s(?:\w+\s){0,2}(?:aiut|assist|forni|offr|dar|rispond|soddisf|farlo)",
    "ja": r"(?:お手伝い|お答え|お応え|お伝え|ご案内|対応|提供|支援|回答)\S{0,12}?"
    r"(?:できません|出来ません|できかねます|いたしかねます)",
    "ko": r"(?:도와|도움|제공|답변|응답|지원|알려)[^.\n]{0,15}?수(?:는|가)?\s?없",
    "nl": r"\b(?:kan\sik|ik\skan|kunnen\swe|we\skunnen)\s(?:\w+\s){0,5}?(?:niet|geen)\s(?:\w+\s){0,4}?"
    r"(?:helpen|geven|verstrekken|bieden|assisteren)\b",
    "pl": r"\bnie\s(?:mogę|możemy|jestem\sw\sstanie)\s(?:\w+\s){0,3}?(?:pom[oóa]|udziel|dostarcz|odpowied|spełni)",
    "pt": r"\bnão\s(?:posso|podemos|poderei|consigo)\s(?:\w+\s){0,2}(?:ajud|auxili|assist|fornec|oferec|dar"
    r"|atend|respond|particip)",
    "ru": r"\bне\s(?:могу|можем|смогу|буду)\s(?:\w+\s){0,3}?(?:помо|предостав|ответ|отвеч|выполн|дать|поддерж|обсужд)",
    "tr": r"\byardımcı\solam|\byardım\sedem|\bsağlayam",
    "vi": r"\btôi\skhông\sthể\s(?:\w+\s){0,2}?(?:giúp|cung\scấp|hỗ\strợ|trả\slời|đáp\sứng)",
    "zh": r"(?:我们?|抱歉,?\s?|[对對]不起,?\s?)[^,.\s]{0,4}?(?:不能|不会|不會|不可以|无法|無法)[^,.\s]{0,6}?"
    r"(?:提供|帮助|幫助|协助|協助|满足|滿足|回答|完成|支持|参与|參與)",
}
LOCAL_DECLINE = re.compile("|".join(DECLINES.values()), re.IGNORECASE)
